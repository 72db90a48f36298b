/** `auth-shim wait`: until the shim is ready, with a limit. For start scripts, and the health check of a container. */
import { resolve as resolvePath } from 'node:path';
import { isWildcard } from '../config/address.ts';
import type { Address, Config } from '../config/config.ts';
import { request } from '../proxy/node-http.ts';
import { loadWithLimit } from './config-world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

const RETRY_MS = 200;
const ANSWER_MS = 6_000;

export interface WaitOptions {
  readonly config: string;
  /** How long at most: `60s`, `2m`. */
  readonly timeout: string;
  /** Be content with a shim that lives, whatever the gateway does. */
  readonly live: boolean;
}

/**
 * Asks the admin listener of the configuration again and again. Whether it lives, the public listener tells as well:
 * it is asked where there is no admin listener, and any answer counts.
 *
 * @param world streams, environment, clock
 * @param options what the command line says
 * @returns 0 once it is ready, 1 when the time is over, 2 for a wrong argument, 78 for a configuration that cannot run
 */
export async function runWait(world: World, options: WaitOptions): Promise<number> {
  const loaded = await loadWithLimit(world, options);
  if (typeof loaded === 'number') return loaded;
  const { limit } = loaded;
  const { listen } = loaded.config;
  const asked = askedFor(loaded.config, world.cwd);
  if (!asked && !options.live) {
    const words = loaded.config.admin
      ? 'has an admin listener that wants a client certificate: add "probes: {}"'
      : 'has no admin listener to ask: add "admin: {}"';
    world.stderr(`${options.config} ${words}\n`);
    return EXIT.usage;
  }
  const deadline = world.now() + limit;
  let last: string;
  do {
    last = asked
      ? await ask(asked, options.live ? '/livez' : '/readyz', (status) => status === 200)
      : await (listen.tls ? shakeHands : askAnything)(reachable(listen.address, world.cwd));
    if (last === '') return EXIT.ok;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  } while (world.now() < deadline);
  world.stderr(`not ${options.live ? 'live' : 'ready'} after ${options.timeout}: ${last}\n`);
  return EXIT.no;
}

function askAnything(where: Where): Promise<string> {
  return ask(where, '/', () => true);
}

/**
 * A handshake is answer enough: a request would need a certificate where the listener wants one. Nothing is sent, and
 * nothing believed, so that it does not matter for which name the certificate is, or by whom.
 *
 * @returns nothing once the listener has done its part of it, otherwise why not
 */
async function shakeHands(where: Where): Promise<string> {
  const { connect } = await import('node:tls');
  return new Promise((resolve) => {
    const at = 'socketPath' in where ? { path: where.socketPath } : where;
    const socket = connect({ ...at, rejectUnauthorized: false, timeout: ANSWER_MS });
    socket.once('secureConnect', () => {
      resolve('');
      socket.end();
    });
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
    socket.once('error', (error) => resolve(error.message));
    socket.once('close', () => resolve('no answer'));
  });
}

type Where = (Address | { readonly socketPath: string }) & { readonly tls?: boolean };

/** Where health is asked: of the admin listener, or where that wants a certificate of the probes'. Neither wants a token. */
function askedFor({ admin, probes }: Config, cwd: string): Where | undefined {
  if (admin && !admin.tls?.client) return { ...reachable(admin.address, cwd), tls: admin.tls !== undefined };
  return probes && reachable(probes, cwd);
}

/** Where a listener of this machine is asked: one on every address is asked on loopback. */
function reachable(address: Config['listen']['address'], cwd: string): Where {
  if ('socket' in address) return { socketPath: resolvePath(cwd, address.socket) };
  if (!isWildcard(address.host)) return address;
  return { host: address.host.includes('.') ? '127.0.0.1' : '::1', port: address.port };
}

/** @returns nothing for a status that is fine, otherwise why not */
async function ask(
  { tls, ...where }: Where,
  path: string,
  fine: (status: number | undefined) => boolean,
): Promise<string> {
  // Its certificate is not looked at: nothing secret is asked, and this machine's listener may have one for any name.
  const options = { ...where, path, timeout: ANSWER_MS, agent: false, ...(tls && { rejectUnauthorized: false }) };
  const send = tls ? (await import('node:https')).request : request;
  return new Promise((resolve) => {
    // The name by which a listener on a socket, or with a certificate for another name, is asked as well.
    const req = send({ ...options, headers: { host: 'localhost' } }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (part: string) => (text += part));
      res.on('end', () => resolve(fine(res.statusCode) ? '' : text.trim()));
      res.on('error', (error) => resolve(error.message));
    });
    req.on('timeout', () => req.destroy(new Error('no answer')));
    req.on('error', (error) => resolve(error.message));
    req.end();
  });
}
