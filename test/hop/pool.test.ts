import type { lookup, LookupAddress, LookupOptions } from 'node:dns';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { Dispatcher } from 'undici';
import { createConnect, HopError, loopbackOnly } from '../../src/gateway/connection.ts';
import { createGatewayPool, type GatewayPool } from '../../src/gateway/pool.ts';

type Lookup = typeof lookup;

/** A resolver that gives these answers, one a question, and keeps the questions. */
function resolver(...answers: readonly (readonly string[] | Error)[]): { lookup: Lookup; asked: LookupOptions[] } {
  const left = [...answers];
  const asked: LookupOptions[] = [];
  const resolve = (
    _name: string,
    options: LookupOptions,
    callback: (error: Error | null, addresses: LookupAddress[]) => void,
  ): void => {
    asked.push(options);
    const answer = left.shift() ?? [];
    if (answer instanceof Error) callback(answer, []);
    else
      callback(
        null,
        answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
  };
  return { lookup: resolve as Lookup, asked };
}

function ask(lookup: Lookup, all: boolean): Promise<unknown> {
  return new Promise((resolve) => {
    loopbackOnly(lookup)('gateway.test', { all }, (error, address, family) => resolve(error ?? [address, family]));
  });
}

void t.test('names that resolve to loopback alone', async (t) => {
  const { lookup, asked } = resolver(['127.0.0.1', '::1'], ['127.0.0.1', '::1'], ['::ffff:127.0.0.1']);
  t.strictSame(await ask(lookup, true), [
    [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ],
    undefined,
  ]);
  t.strictSame(await ask(lookup, false), ['127.0.0.1', 4]);
  t.strictSame(await ask(lookup, false), ['::ffff:127.0.0.1', 6]);
  t.strictSame(
    asked.map(({ all }) => all),
    [true, true, true],
    'every address is looked at, also where one is asked',
  );
});

void t.test('names that do not', async (t) => {
  const cases: readonly (readonly string[])[] = [['192.0.2.1'], ['127.0.0.1', '192.0.2.1'], ['0.0.0.0'], ['::'], []];
  for (const addresses of cases) {
    for (const all of [true, false]) t.type(await ask(resolver(addresses).lookup, all), HopError, addresses.join());
  }
  const failure = new Error('ENOTFOUND');
  t.equal(await ask(resolver(failure).lookup, true), failure, 'an error of the resolver is passed on');
});

function status(pool: GatewayPool, headers: readonly string[] = []): Promise<number | Error> {
  return new Promise((resolve) => {
    let seen = 0;
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => undefined,
      onResponseData: () => undefined,
      onResponseStart: (_controller, code) => {
        seen = code;
      },
      onResponseEnd: () => resolve(seen),
      onResponseError: (_controller, error) => resolve(error),
    };
    pool.dispatch({ path: '/', method: 'GET', headers: [...headers] }, handler);
  });
}

async function gateway(t: Test, handle: Parameters<typeof createServer>[1]): Promise<number> {
  const server = createServer({}, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

void t.test('the address is checked at every connect', async (t) => {
  let requests = 0;
  const port = await gateway(t, (_req, res) => {
    requests++;
    res.shouldKeepAlive = false;
    res.end();
  });
  const { lookup, asked } = resolver(['127.0.0.1'], ['127.0.0.1', '192.0.2.1'], ['127.0.0.1']);
  const origin = `http://gateway.test:${port}`;
  const pool = createGatewayPool(origin, createConnect({ origin, lookup }));
  t.teardown(() => pool.destroy());
  t.equal(await status(pool), 200);
  t.match(await status(pool), { code: 'HOP_NOT_LOOPBACK' }, 'a name that later resolves elsewhere');
  t.equal(requests, 1);
  t.equal(await status(pool), 200);
  t.equal(asked.length, 3);
});

void t.test('a redirect is an answer, and proxies in the environment are not asked', async (t) => {
  let requests = 0;
  const port = await gateway(t, (_req, res) => {
    requests++;
    res.writeHead(302, { location: '/elsewhere' });
    res.end();
  });
  process.env.HTTP_PROXY = process.env.http_proxy = 'http://127.0.0.1:9';
  t.teardown(() => {
    delete process.env.HTTP_PROXY;
    delete process.env.http_proxy;
  });
  const origin = `http://127.0.0.1:${port}`;
  const pool = createGatewayPool(origin, createConnect({ origin }));
  t.teardown(() => pool.destroy());
  t.equal(await status(pool), 302);
  t.equal(requests, 1);
});
