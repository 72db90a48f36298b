import t from 'tap';
import { bearer, GATEWAY_SECRET, startStack, TOKENS } from '../helpers/stack.ts';

const CHAT = JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] });

void t.test('a headless caller gets its streamed reply on 2026.3.28', async (t) => {
  const { url, gateway, nextLine } = await startStack(t, { gateway: { release: '2026.3.28' } });
  const post = (base: string, token: string): Promise<Response> =>
    fetch(`${base}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/json' },
      body: CHAT,
    });

  const straight = await post(gateway.url, GATEWAY_SECRET);
  t.equal(straight.status, 403);
  t.match(await straight.text(), /missing scope: operator\.write/);

  const line = nextLine();
  const through = await post(url, TOKENS.writer);
  t.equal(through.status, 200);
  t.equal(through.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const text = await through.text();
  t.match(text, /data: \[DONE\]\n\n$/);
  const seen = gateway.requests.at(-1);
  t.equal(seen?.body.toString(), CHAT);
  t.match(await line, {
    msg: 'request',
    caller: 'writer',
    method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    in: CHAT.length,
    out: text.length,
    end: 'done',
    id: through.headers.get('x-request-id'),
  });
});

void t.test('a caller without the scope is refused, and the gateway sees nothing', async (t) => {
  const { url, gateway } = await startStack(t);
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: bearer(TOKENS.reader),
    body: CHAT,
  });
  t.equal(answer.status, 403);
  t.match(answer.headers.get('www-authenticate'), /error="insufficient_scope", scope="operator.write"/);
  t.strictSame(await answer.json(), {
    error: {
      message: 'This route needs the scope operator.write; this caller has: operator.read.',
      type: 'permission_error',
      code: 'insufficient_scope',
      param: null,
    },
  });
  t.equal(gateway.requests.length, 0);
});
