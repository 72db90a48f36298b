import { once } from 'node:events';
import t from 'tap';
import { audited } from '../helpers/audit.ts';
import { connect, open } from '../helpers/gateway-client.ts';
import { NO_REDIS, startRedis } from '../helpers/redis.ts';
import { READER, socketCallers, startSockets } from '../helpers/sockets.ts';
import { TOKENS } from '../helpers/stack.ts';

const LISTEN = '{ port: 0, websocket: { firstFrameToken: true } }';

void t.test('a caller that leaves while the store of the limits is asked', { skip: NO_REDIS }, async (t) => {
  const redis = await startRedis(t);
  const stack = await startSockets(t, {
    listen: LISTEN,
    callers: socketCallers({ reader: { ...READER, more: 'limits: { sockets: 1, requestsPerMinute: 1000 }' } }),
    more: `limits: { store: { redis: "redis://127.0.0.1:${redis.port}" } }`,
  });
  for (let i = 0; i < 3; i++) {
    const { ws, next } = open(t, stack);
    await next();
    redis.child.kill('SIGSTOP');
    const line = stack.nextLine();
    const params = { minProtocol: 3, maxProtocol: 4, auth: { token: TOKENS.reader } };
    ws.send(JSON.stringify({ type: 'req', id: 'c', method: 'connect', params }), () => ws.terminate());
    await once(ws, 'close');
    await line;
    redis.child.kill('SIGCONT');
  }
  const { hello } = await connect(t, stack, { auth: { token: TOKENS.reader } });
  t.equal(hello.ok, true, 'its only place is free');
});

void t.test('who leaves before the first frame has its decision, too', async (t) => {
  const audit = audited(t);
  const stack = await startSockets(t, { listen: LISTEN, more: audit.yaml });
  const { ws, next } = open(t, stack);
  await next();
  ws.close();
  const records = await audit.records(3);
  t.strictSame(
    records.map(({ event, decision, code }) => [event, decision, code]),
    [
      ['decision', 'refuse', 'missing_token'],
      ['connect', 'refuse', 'done'],
      ['end', undefined, undefined],
    ],
  );
});
