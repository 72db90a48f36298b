/** What `tailscale serve` sends, and that the gateway gets none of it. */
import t from 'tap';
import { blocksOf } from '../helpers/deployment.ts';
import { textOf } from '../helpers/pages.ts';
import { openRaw } from '../helpers/raw.ts';
import { bearer, caller, startStack, TOKENS } from '../helpers/stack.ts';

const PAGE = 'docs/deploy-tailscale.md';
const [{ listen }] = blocksOf(PAGE) as [{ listen: { hosts: string[]; trustedProxies: string[] } }];
const [, who] = blocksOf(PAGE) as [object, { callers: [{ from: string[] }] }];
const [host = ''] = listen.hosts;

void t.test('its headers are dropped, its word on the address is taken, its name is a host', async (t) => {
  const names = [...textOf(PAGE).matchAll(/`(Tailscale-[\w-]+|X-Forwarded-\w+)`/g)].map(([, name = '']) => name);
  t.ok(names.length >= 9, names.join(' '));
  const stack = await startStack(t, {
    listen: JSON.stringify({ ...listen, host: '127.0.0.1', port: 0 }),
    callers: `callers:\n${caller('reader', TOKENS.reader, ['operator.read'], `from: ${JSON.stringify(who.callers[0].from)}`)}`,
  });
  const claims = [...names, 'tailscale_user_login'].map(
    (name) => `${name}: ${name === 'X-Forwarded-For' ? '100.101.102.103' : 'somebody'}`,
  );
  const ask = async (lines: readonly string[], name = host): Promise<string> => {
    const raw = await openRaw(t, stack.port);
    const { authorization } = bearer(TOKENS.reader);
    raw.send(
      ['GET /v1/models HTTP/1.1', `Host: ${name}`, `Authorization: ${authorization}`, ...lines, '', ''].join('\r\n'),
    );
    return raw.until((text) => text.includes('\r\n\r\n'));
  };
  const line = stack.nextLine();
  t.match(await ask(claims), /^HTTP\/1\.1 200 /);
  t.match(await line, { peer: '100.101.102.103', caller: 'reader' });
  const [sent] = stack.gateway.requests.filter(({ url }) => url === '/v1/models');
  const got = (sent?.rawHeaders ?? []).map((one) => one.toLowerCase());
  t.notOk(
    got.some((one) => /^(?:x-forwarded|tailscale)/.test(one) || one === 'somebody'),
    got.join(' '),
  );

  t.match(await ask([]), /^HTTP\/1\.1 401 /, 'who is not in the tailnet, though it is on the machine');
  t.match(await ask([], 'other.ts.net'), /^HTTP\/1\.1 421 /);
});
