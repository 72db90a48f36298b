import { once } from 'node:events';
import t from 'tap';
import { codeOf } from '../helpers/gateway-client.ts';
import { connectAs, socketCallers, startSockets } from '../helpers/sockets.ts';

const SCOPES = ['operator.admin'];

function callersWith(lists: string): string {
  return socketCallers({ writer: { scopes: SCOPES, more: lists } });
}

void t.test('a method that is not allowed is answered by the shim', async (t) => {
  const stack = await startSockets(t, {
    callers: callersWith('allowMethods: [sessions.*, health], denyMethods: [sessions.delete]'),
  });
  const by = await connectAs(t, stack, 'writer');
  t.equal((await by.call('sessions.list')).ok, true);
  for (const method of ['chat.send', 'sessions.delete', 'sessions', 'sessionsx.list', 'Health', 'connect', '']) {
    if (method === '') continue;
    const { type, ok, error } = await by.call(method);
    t.match(
      { type, ok, error },
      {
        type: 'res',
        ok: false,
        error: {
          code: 'FORBIDDEN',
          message: `method not allowed for this caller: ${method}`,
          details: { code: 'method_not_allowed' },
        },
      },
    );
  }
  t.equal((await by.call('health')).ok, true, 'the socket stays open');
  t.strictSame(stack.gateway.sockets[0]?.methods, ['sessions.list', 'health'], 'nothing else was sent on');
});

void t.test('a list of what is denied leaves the rest', async (t) => {
  const stack = await startSockets(t, { callers: callersWith('denyMethods: [config.*]') });
  const by = await connectAs(t, stack, 'writer');
  t.equal(codeOf(await by.call('config.set')), 'method_not_allowed');
  t.equal((await by.call('sessions.list')).ok, true);
});

const DOUBTED: readonly (readonly [name: string, frame: string | Buffer])[] = [
  ['no JSON', 'nothing'],
  ['a list', '[]'],
  ['a key twice', '{"type":"req","id":"1","method":"health","method":"chat.send"}'],
  ['a key twice, escaped', '{"type":"req","id":"1","method":"health","\\u006dethod":"chat.send"}'],
  ['a key twice within', '{"type":"req","id":"1","method":"health","params":{"a":1,"a":2}}'],
  ['binary', Buffer.from('{"type":"req","id":"1","method":"health"}')],
  ['a byte order mark', '\ufeff{"type":"req","id":"1","method":"health"}'],
  ['no method', '{"type":"req","id":"1"}'],
  ['a method that is no text', '{"type":"req","id":"1","method":["health"]}'],
  ['no id', '{"type":"req","method":"health"}'],
  ['an event', '{"type":"event","id":"1","method":"health"}'],
  ['too deep', `{"type":"req","id":"1","method":"health","params":${'['.repeat(65)}${']'.repeat(65)}}`],
];

for (const [name, frame] of DOUBTED) {
  void t.test(`a frame that cannot be judged ends the socket: ${name}`, async (t) => {
    const stack = await startSockets(t, { callers: callersWith('allowMethods: [health]') });
    const by = await connectAs(t, stack, 'writer');
    const line = stack.nextLine();
    by.ws.send(frame, { binary: typeof frame !== 'string' });
    t.match(await by.closed, { code: 1008, reason: /^a frame / });
    t.match(await line, { end: 'refused', socket: { close: 1008, framesIn: 0 } });
    await stack.gateway.sockets[0]?.closed;
    t.strictSame(stack.gateway.sockets[0]?.frames, [], 'and is not sent on');
  });
}

void t.test('a frame that takes long to judge is not judged', async (t) => {
  const stack = await startSockets(t, { callers: callersWith('allowMethods: [health]') });
  const by = await connectAs(t, stack, 'writer');
  const request = (size: number): string => {
    const empty = JSON.stringify({ type: 'req', id: '1', method: 'health', params: { x: '' } });
    return empty.replace('""', `"${'x'.repeat(size - empty.length)}"`);
  };
  by.ws.send(request(1024 * 1024));
  t.match(await by.next('health', 'tick'), { id: '1' }, 'a whole MiB is');
  by.ws.send(request(1024 * 1024 + 1));
  t.match(await by.closed, { code: 1009 });
  t.equal(stack.gateway.sockets[0]?.frames.length, 1);
});

void t.test('who does not read the refusals is not read either', async (t) => {
  const stack = await startSockets(t, { callers: callersWith('allowMethods: [health]') });
  const { ws } = await connectAs(t, stack, 'writer');
  const frame = JSON.stringify({ type: 'req', id: 'x'.repeat(200), method: 'chat.send' });
  ws.pause();
  let full = false;
  for (let i = 0; i < 200_000 && !full; i++) {
    ws.send(frame);
    if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    full = ws.bufferedAmount > 2 ** 20;
  }
  t.ok(full, 'what it sends is not taken any more');
  ws.terminate();
  await once(ws, 'close');
});
