import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { readRequests } from '../helpers/requests.ts';
import { rawExchange } from '../helpers/raw.ts';
import { authorized, chunked } from '../helpers/request-bytes.ts';
import { caller, startStack } from '../helpers/stack.ts';

const TOKEN = 'tools-token-0123456789-abcdefg';
const CALLERS = `callers:\n${caller('tooler', TOKEN, ['operator.read'], 'tools: [agents_list, session.status]')}`;

interface Case {
  readonly body: string;
  readonly status: number;
  readonly code?: string;
}

const CASES: readonly Case[] = [
  { body: '{"tool":"agents_list"}', status: 200 },
  { body: ' {\n "name" : "session.status", "args": {"tool": "x", "name": "x"} }\n', status: 200 },
  { body: '{"tool":"cron"}', status: 403, code: 'tool_not_allowed' },
  { body: '{"tool":"Agents_list"}', status: 403, code: 'tool_not_allowed' },
  { body: '{"tool":"agents_list","name":"cron"}', status: 400, code: 'bad_request' },
  { body: '{"tool":"agents_list","tool":"cron"}', status: 400, code: 'bad_request' },
  { body: '{"tool":"agents_list","to\\u006fl":"cron"}', status: 400, code: 'bad_request' },
  { body: '{"tool":"agents_list","args":{"a":1,"a":2}}', status: 400, code: 'bad_request' },
  { body: '{"tool":["agents_list"]}', status: 400, code: 'bad_request' },
  { body: '{}', status: 400, code: 'bad_request' },
  { body: '[{"tool":"agents_list"}]', status: 400, code: 'bad_request' },
  { body: '{"tool":"agents_list"', status: 400, code: 'bad_request' },
  { body: '\xef\xbb\xbf{"tool":"agents_list"}', status: 400, code: 'bad_request' },
  { body: '{"tool":"agents_list\xff"}', status: 400, code: 'bad_request' },
];

void t.test('a caller with tools: the body passes byte for byte, or nothing of it', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, callers: CALLERS });
  for (const framing of ['length', 'chunked'] as const) {
    for (const { body, status, code } of CASES) {
      await t.test(`${framing} ${body}`, async (t) => {
        const seen = gateway.text.length;
        const head = `POST /tools/invoke HTTP/1.1\r\n${authorized(TOKEN)}`;
        const answer = await rawExchange(
          port,
          framing === 'length'
            ? `${head}Content-Length: ${body.length}\r\n\r\n${body}`
            : `${head}Transfer-Encoding: chunked\r\n\r\n${chunked(body)}`,
        );
        t.equal(answer.status, status);
        if (code) t.match(JSON.parse(answer.body), { error: { code } });
        const [sent] = readRequests(gateway.text.slice(seen));
        t.equal(sent?.body, status === 200 ? body : undefined);
        t.equal(answer.closed, status === 400, 'a refusal of a body that was read keeps the connection, but for 400');
      });
    }
  }
});

void t.test('a body over 2 MiB is not even read whole', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url, callers: CALLERS });
  const body = JSON.stringify({ tool: 'agents_list', args: 'x'.repeat(2 ** 21) });
  const head = `POST /tools/invoke HTTP/1.1\r\n${authorized(TOKEN)}`;
  for (const bytes of [
    `${head}Content-Length: ${body.length}\r\n\r\n${body}`,
    `${head}Transfer-Encoding: chunked\r\n\r\n${chunked(body)}`,
  ]) {
    const answer = await rawExchange(port, bytes);
    t.equal(answer.status, 413);
    t.ok(answer.closed);
  }
  t.equal(gateway.text, '');
});
