/** A caller must never be told that their token is wrong when it is the shim's that was refused. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { HOPS, startHop } from '../helpers/hops.ts';
import { rawExchange } from '../helpers/raw.ts';
import { GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

interface Case {
  readonly name: string;
  readonly status: number;
  readonly body: string;
  /** What the caller gets. */
  readonly told: number;
  readonly finding?: string;
}

const missing = (scope: string, more = ''): string =>
  JSON.stringify({ ok: false, error: { type: 'forbidden', message: `missing scope: ${scope}` }, more });

const CASES: readonly Case[] = [
  { name: 'a 401', status: 401, body: '{}', told: 502, finding: 'gateway_secret_refused' },
  { name: 'a 401 without a body', status: 401, body: '', told: 502, finding: 'gateway_secret_refused' },
  {
    name: 'a long 401',
    status: 401,
    body: 'x'.repeat(20_000),
    told: 502,
    finding: 'gateway_secret_refused',
  },
  {
    name: 'a scope that was sent',
    status: 403,
    body: missing('operator.read'),
    told: 502,
    finding: 'scope_not_honoured',
  },
  {
    name: 'a scope that was sent, at length',
    status: 403,
    body: missing('operator.read', 'x'.repeat(20_000)),
    told: 502,
    finding: 'scope_not_honoured',
  },
  { name: 'a scope that was not', status: 403, body: missing('operator.write'), told: 403 },
  {
    name: 'a scope that was not, at length',
    status: 403,
    body: missing('operator.write', 'x'.repeat(20_000)),
    told: 403,
  },
];

async function startRefusing(t: Test, { status, body }: Case): Promise<string> {
  const server = createServer((_req, res) => {
    res.writeHead(status, { 'www-authenticate': 'Bearer error="invalid_token"' });
    res.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

for (const hop of HOPS) {
  for (const one of CASES) {
    void t.test(`${one.name}, ${hop} hop`, async (t) => {
      const stack = await startHop(t, hop, { gatewayUrl: await startRefusing(t, one) });
      const head = `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.reader}\r\n\r\n`;
      const logged = stack.nextLine();
      const answer = await rawExchange(stack.port, head);
      const line = await logged;
      t.equal(answer.status, one.told);
      // There is no secret to be wrong where the proxy is believed by its headers.
      const secret = one.finding === 'gateway_secret_refused' && hop === 'trusted-proxy';
      const finding = secret ? 'trusted_proxy_refused' : one.finding;
      if (finding === undefined) return t.equal(answer.body, one.body);
      t.match(JSON.parse(answer.body), { error: { code: 'gateway_refused', message: finding } });
      t.equal(answer.headers['www-authenticate'], undefined);
      t.match(line, {
        code: 'gateway_refused',
        reason: new RegExp(`^${finding}: the gateway answered ${one.status} `),
      });
      t.notOk(`${answer.text}${JSON.stringify(line)}`.includes(GATEWAY_SECRET));
    });
  }
}
