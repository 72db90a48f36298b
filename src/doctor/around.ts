/** Whether a gateway that should be on loopback can be reached round the shim, by other machines. */
import { isIPv6 } from 'node:net';
import { isLoopbackHost } from '../config/address.ts';
import { bareHost } from '../config/hop.ts';
import { request } from '../proxy/node-http.ts';
import { isLive } from './answers.ts';
import type { DoctorWorld, Gateway } from './ask.ts';
import { found, openclaw, type Found } from './finding.ts';
import type { Mode } from './login.ts';

const ANSWER_MS = 2_000;
/** Characters of an answer. */
const MOST = 64 * 1024;

/**
 * Only this machine's own addresses are asked, at the gateway's port, and nothing secret is sent.
 *
 * @param gateway that was reached
 * @param mode how it authenticates, where that is known
 * @param world the machine's addresses
 */
export async function examineWayRound(
  { config }: Gateway,
  mode: Mode | undefined,
  world: Pick<DoctorWorld, 'addresses'>,
): Promise<Found> {
  const url = new URL(config.gateway.origin);
  if (!isLoopbackHost(bareHost(url))) {
    return found('not_examined', `who else reaches ${url.host}: a firewall should let the shim alone.`);
  }
  const addresses = world.addresses();
  const live = await Promise.all(addresses.map((address) => isGateway(url, address)));
  const reached = addresses.filter((_, index) => live[index]);
  if (reached.length === 0) {
    return found('no_way_round', 'the gateway answers on loopback alone: other machines have no way round the shim.');
  }
  const open = mode === 'none';
  const words =
    `the gateway also answers at ${reached.join(', ')}: other machines can go round the shim, ` +
    (open ? 'and it asks nobody for a secret.' : 'with its own secret or as a trusted proxy.');
  return found(
    'gateway_beyond_loopback',
    words,
    [openclaw("{ gateway: { bind: 'loopback' } }")],
    open ? 'fault' : 'warning',
  );
}

async function isGateway({ protocol, port }: URL, address: string): Promise<boolean> {
  const send = protocol === 'https:' ? (await import('node:https')).request : request;
  const host = isIPv6(address) ? `[${address}]` : address;
  return new Promise((resolve) => {
    const options = { host: address, port, path: '/health', agent: false, signal: AbortSignal.timeout(ANSWER_MS) };
    // Its certificate does not matter: nothing is believed but that it is there.
    const req = send({ ...options, headers: { host: `${host}:${port}` }, rejectUnauthorized: false }, (res) => {
      let body = '';
      res.setEncoding('utf8').on('data', (part: string) => {
        body += part;
        if (body.length > MOST) res.destroy();
      });
      res.once('close', () => resolve(isLive({ status: res.statusCode ?? 0, body })));
      res.once('error', () => resolve(false));
    });
    req.once('error', () => resolve(false));
    req.end();
  });
}
