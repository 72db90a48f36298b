/** What a caller is told when the hop itself is at fault. */
import { InternalServerError } from 'openai';
import type { Test } from 'tap';
import type { ShimProcess } from '../../helpers/shim.ts';
import { curl, json } from '../curl.ts';
import { ask, CALLERS, openai, shimBefore, type Hop } from '../hop.ts';
import { fault } from './sdk.ts';
import { restartCase } from './websocket.ts';

/** It ends the gateway: nothing can come after it. */
export async function faultCases(t: Test, { mode, gateway, shim, relay }: Hop): Promise<void> {
  await t.test('a secret that the gateway refuses', async (t) => {
    const wrong = await shimBefore(t, gateway, mode, {
      secret: 'not-the-secret-of-the-gateway',
      userHeader: 'x-other',
    });
    await told(t, wrong, 'gateway_refused');
  });

  if (relay) await restartCase(t, mode, gateway);

  await t.test('a gateway that is not there', async (t) => {
    await gateway.stop();
    await told(t, shim, 'gateway_unreachable');
  });
}

/** The caller is told so, and never that it is their fault. */
export async function told(t: Test, shim: ShimProcess, code: string): Promise<void> {
  const { status, body } = await curl(`${shim.url}/v1/chat/completions`, ...json(CALLERS.writer, ask('hi')));
  t.equal(status, 502);
  t.match(JSON.parse(body), { error: { code, type: 'gateway_error', param: null } });
  t.notMatch(body, /Unauthorized/, 'never that the caller’s token is wrong');
  const error = await fault(openai(shim.url, CALLERS.writer).chat.completions.create(ask('hi')));
  t.ok(error instanceof InternalServerError);
  t.match(error, { status: 502, code });
}
