/** Two shims before one gateway: what they share, and what each of them has. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startGateway } from '../../src/demo/gateway.ts';
import { NO_REDIS, startRedis } from '../helpers/redis.ts';
import { connectAs, READER, socketCallers } from '../helpers/sockets.ts';
import { bearer, GATEWAY_SECRET, startStack, TOKENS, type Stack } from '../helpers/stack.ts';

interface Replicas {
  readonly all: readonly [Stack, Stack];
  readonly gateway: Awaited<ReturnType<typeof startGateway>>;
}

/** @param deviceStore of the first and of the second */
async function startTwo(
  t: Test,
  limits: string,
  deviceStore: readonly [string, string] = ['memory', 'memory'],
): Promise<Replicas> {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
  t.teardown(() => gateway.close());
  const start = (store: string): Promise<Stack> =>
    startStack(t, {
      gatewayUrl: gateway.url,
      callers: socketCallers({ reader: READER }),
      deviceStore: store,
      more: limits === '' ? '' : `limits: ${limits}`,
    });
  return { all: [await start(deviceStore[0]), await start(deviceStore[1])], gateway };
}

/** Asks both in turns. @returns the statuses */
async function ask({ all }: Replicas, times: number, token: string = TOKENS.reader): Promise<number[]> {
  const statuses: number[] = [];
  for (let nth = 0; nth < times; nth++) {
    const { url } = all[nth % 2] as Stack;
    const res = await fetch(`${url}/v1/models`, { headers: bearer(token) });
    await res.text();
    statuses.push(res.status);
  }
  return statuses;
}

const count = (statuses: readonly number[], status: number): number => statuses.filter((one) => one === status).length;

void t.test('a budget in memory is given by each, one in Redis once', { skip: NO_REDIS }, async (t) => {
  const budget = 'default: { requestsPerMinute: 3 }';
  t.equal(count(await ask(await startTwo(t, `{ ${budget} }`), 10), 200), 6);
  const redis = await startRedis(t);
  const shared = await startTwo(t, `{ ${budget}, store: { redis: "redis://127.0.0.1:${redis.port}" } }`);
  t.same(await ask(shared, 5), [200, 200, 200, 429, 429]);
});

void t.test('failed logins are counted by each', async (t) => {
  const two = await startTwo(t, '');
  const statuses = await ask(two, 24, 'wrong-token-0123456789-abcdefgh');
  t.equal(count(statuses, 401), 20);
  t.equal(count(statuses, 429), 4);
});

void t.test('a folder of devices that both have is one device at the gateway, two folders are two', async (t) => {
  const folder = t.testdir();
  const same = join(folder, 'same');
  for (const [stores, expected] of [
    [[same, same], 1],
    [[join(folder, 'one'), join(folder, 'two')], 2],
  ] as const) {
    const two = await startTwo(t, '', stores);
    for (const stack of two.all) t.match((await connectAs(t, stack, 'reader')).hello, { ok: true });
    t.equal(two.gateway.devices.paired().length, expected);
  }
});
