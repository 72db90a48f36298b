/** WebSockets of headless callers: a bearer is enough, and the gateway itself holds the scopes. */
import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import { expandScopes } from '../../../src/scopes.ts';
import type { Scope } from '../../../src/types.ts';
import type { Mode } from '../contract.ts';
import type { RealGateway } from '../gateway.ts';
import { REPLY } from '../hop.ts';
import { ENDLESS } from '../model.ts';
import { RELAYED, relayBefore, type RelayShim } from '../relay.ts';
import { chat, connect, type Frame } from '../socket.ts';
import { GROWS, since } from '../version.ts';

/** The measured end of a revoked credential's sockets. Milliseconds. */
const REVOKED_WITHIN = 2_000;

interface PairedDevice {
  readonly displayName: string;
  readonly deviceId: string;
}

/** @param shim before a gateway that takes a client of this machine for local in this mode */
export async function socketCases(t: Test, mode: Mode, gateway: RealGateway, shim: RelayShim): Promise<void> {
  const { url } = shim;
  const session = (): string => `agent:main:${randomUUID()}`;
  /** A message that must not be sent: a prompt of the gateway has no such word. */
  const unsent = `unsent-${randomUUID()}`;
  const send = (): object => ({ sessionKey: session(), message: unsent, idempotencyKey: randomUUID() });
  const neverRan = (): boolean => !gateway.model.runs.some(({ body }) => body.includes(unsent));

  if (mode === 'token') {
    await t.test('WebSocket, the defect: straight to the gateway with its token', async (t) => {
      const ui = { id: 'gateway-client', version: '1.0.0', platform: 'linux', mode: 'ui' };
      const params = { client: ui, scopes: ['operator.read'], auth: { token: gateway.token } };
      const client = await connect(gateway.url, { params });
      t.equal(client.answer.ok, true);
      t.match(await client.call('sessions.list'), { ok: false, error: { message: 'missing scope: operator.read' } });
      await client.close();
    });
  }

  await t.test('WebSocket: a bearer, a list, a chat', async (t) => {
    const client = await connect(url, { bearer: RELAYED.writer });
    t.match(client.answer, { ok: true, payload: { type: 'hello-ok', auth: { role: 'operator' } } });
    t.match(await client.call('sessions.list'), { ok: true, payload: { sessions: Array } });
    const { grown, final } = await chat(client, session(), 'hi');
    t.equal(grown, REPLY, 'its events were streamed');
    t.match(final, { role: 'assistant', content: [{ type: 'text', text: REPLY }] });
    await client.close();
    const { scopes, caller } = await shim.logged((line) => line.msg === 'socket connected');
    t.strictSame([caller, scopes], ['writer', ['operator.write']]);
  });

  await t.test('WebSocket: what is asked beyond the caller’s scopes is not given', async (t) => {
    const client = await connect(url, { bearer: RELAYED.writer, params: { scopes: ['operator.admin'] } });
    t.strictSame(scopesOf(client.answer), all(['operator.read', 'operator.write']));
    t.match(await client.call('config.patch', { raw: '{}' }), refused('operator.admin'));
    t.match(await client.call('device.pair.list'), refused('operator.pairing'));
    t.equal((await client.call('sessions.list')).ok, true);
    await client.close();
  });

  await t.test('WebSocket: a reader is refused by the gateway', async (t) => {
    const client = await connect(url, { bearer: RELAYED.reader });
    t.strictSame(scopesOf(client.answer), all(['operator.read']));
    t.equal((await client.call('sessions.list')).ok, true);
    t.match(await client.call('chat.send', send()), refused('operator.write'));
    await client.close();
    t.ok(neverRan());
  });

  await t.test('WebSocket: a caller who asks for less has less', async (t) => {
    const client = await connect(url, { bearer: RELAYED.writer, params: { scopes: ['operator.read'] } });
    t.strictSame(scopesOf(client.answer), all(['operator.read']));
    t.match(await client.call('chat.send', send()), refused('operator.write'));
    await client.close();
  });

  await t.test('WebSocket: hello-ok tells nothing of the device, nor of the gateway’s address', async (t) => {
    const client = await connect(url, { bearer: RELAYED.admin });
    const text = JSON.stringify(client.answer);
    t.match(client.answer, { ok: true, payload: { server: { version: String } } });
    t.strictSame(Object.keys(client.answer.payload?.auth ?? {}).toSorted(), ['role', 'scopes']);
    for (const hidden of ['deviceToken', '://', '/__openclaw__/', `:${gateway.port}`, gateway.token]) {
      t.notOk(text.includes(hidden), hidden);
    }
    await client.close();
  });

  await t.test('WebSocket: a protocol that the gateway does not speak is its own error', async (t) => {
    const range = { minProtocol: 1, maxProtocol: 1 };
    const ours = await connect(url, { bearer: RELAYED.reader, params: range });
    const client = { id: 'cli', version: '1.0.0', platform: 'linux', mode: 'cli' };
    const own = await connect(gateway.url, { params: { ...range, client, auth: { token: gateway.token } } });
    t.equal(ours.answer.ok, false);
    t.strictSame(ours.answer.error, own.answer.error);
    t.strictSame(await ours.closed, await own.closed);
    await shim.logged((line) => line.msg === 'socket refused' && line.caller === 'reader');
  });

  await t.test('WebSocket: a caller who is given more has it at the next connect', async (t) => {
    const before = await connect(url, { bearer: RELAYED.grower });
    t.match(await before.call('chat.send', send()), refused('operator.write'));
    await before.close();
    const first = await shim.logged((line) => line.msg === 'socket connected' && line.caller === 'grower');
    await shim.change({ grower: ['operator.read', 'operator.write'] });
    const after = await connect(url, { bearer: RELAYED.grower });
    t.strictSame(scopesOf(after.answer), all(['operator.read', 'operator.write']));
    t.equal((await chat(after, session(), 'grown')).grown, REPLY);
    const devices = new Set([first.device]);
    const other = await connect(url, { bearer: RELAYED.grower });
    t.equal((await chat(other, session(), 'second socket')).grown, REPLY);
    t.equal((await after.call('sessions.list')).ok, true, 'the first is not disturbed');
    await Promise.all([after.close(), other.close()]);
    const last = await shim.logged(({ msg, caller, id }) => msg === 'socket connected' && caller === 'grower' && id !== first.id); // prettier-ignore
    devices.add(last.device);
    t.equal(devices.size, GROWS ? 1 : 2, 'another device where this one would wait for an operator');
  });

  await t.test('WebSocket: the token in the first frame, or beside a subprotocol', async (t) => {
    const framed = await connect(url, { params: { auth: { token: RELAYED.reader } } });
    t.equal((await framed.call('sessions.list')).ok, true);
    await framed.close();
    const offered = await connect(url, { protocols: ['openclaw.v1', `bearer.${RELAYED.reader}`] });
    t.equal(offered.protocol, 'openclaw.v1');
    t.equal((await offered.call('sessions.list')).ok, true);
    await offered.close();
    const wrong = await connect(url, { params: { auth: { token: gateway.token } } });
    t.match(wrong.answer, { ok: false, error: { details: { code: 'invalid_token' } } });
    t.equal((await wrong.closed).code, 1008);
  });

  await t.test('WebSocket: a method that the caller may not name never reaches the gateway', async (t) => {
    const client = await connect(url, { bearer: RELAYED.lister });
    t.equal((await client.call('sessions.list')).ok, true);
    const answer = await client.call('chat.send', send());
    t.match(answer, { ok: false, error: { code: 'FORBIDDEN', details: { code: 'method_not_allowed' } } });
    t.equal((await client.call('sessions.list')).ok, true, 'the socket lives on');
    await client.close();
    t.ok(neverRan());
  });

  await t.test('WebSocket: the gateway lists each caller’s device by name', async (t) => {
    const client = await connect(url, { bearer: RELAYED.pairer });
    const { payload } = await client.call('device.pair.list');
    const { pending, paired } = payload as Readonly<Record<'pending' | 'paired', readonly PairedDevice[]>>;
    // The request of a device that was replaced stays, for the gateway to forget.
    const waiting = pending.map(({ displayName }) => displayName);
    t.strictSame(waiting, GROWS ? [] : ['shim:grower'], 'nobody else waits for an operator');
    const { device } = await shim.logged((line) => line.msg === 'socket connected' && line.caller === 'writer');
    t.match(
      paired.find(({ deviceId }) => deviceId === device),
      { displayName: 'shim:writer', clientId: 'cli', clientMode: 'cli', role: 'operator' },
    );
    await client.close();
  });

  await t.test('WebSocket: a caller who is taken out in the middle of a run', async (t) => {
    const client = await connect(url, { bearer: RELAYED.leaver });
    const message = `${ENDLESS}-${mode}`;
    await client.call('chat.send', { sessionKey: session(), message, idempotencyKey: message });
    const run = await gateway.model.run(message);
    await client.frame(({ event }) => event === 'agent');
    const from = performance.now();
    await shim.change({ leaver: undefined });
    const { code, reason } = await client.closed;
    const took = performance.now() - from;
    t.equal(code, 1008);
    t.match(reason, /^invalid_token: /);
    t.ok(took < REVOKED_WITHIN, `${Math.round(took)} ms`);
    run.finish();
    t.equal(await run.ended, 'finished', 'a run that has begun goes on, as with a client that leaves');
  });
}

/**
 * It ends the gateway.
 *
 * @param gateway that takes a client of this machine for local in this mode
 */
export async function restartCase(t: Test, mode: Mode, gateway: RealGateway): Promise<void> {
  await t.test('WebSocket: a gateway that ends tells why', async (t) => {
    const shim = await relayBefore(t, gateway, mode);
    const client = await connect(shim.url, { bearer: RELAYED.writer });
    t.equal((await client.call('sessions.list')).ok, true);
    const stopped = gateway.stop();
    t.strictSame(await client.closed, { code: 1012, reason: 'service restart' });
    await stopped;
    const late = await connect(shim.url, { bearer: RELAYED.writer });
    t.match(late.answer, { ok: false, error: { code: 'UNAVAILABLE', details: { code: 'gateway_unreachable' } } });
    t.equal((await late.closed).code, 1014);
  });
}

/** As the gateway refuses a method. */
function refused(scope: string): object {
  const message = `missing scope: ${scope}`;
  const told = since('2026.9.6')
    ? { code: 'FORBIDDEN', details: { code: 'MISSING_SCOPE', missingScope: scope } }
    : { code: 'INVALID_REQUEST' };
  return { ok: false, error: { ...told, message } };
}

/** What hello-ok gives, with what that implies: some releases name it all, others the least. */
function scopesOf({ payload }: Frame): Scope[] {
  return all((payload?.auth as { scopes: Scope[] } | undefined)?.scopes ?? []);
}

function all(scopes: readonly Scope[]): Scope[] {
  return [...expandScopes(scopes)].toSorted();
}
