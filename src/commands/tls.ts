/** `auth-shim tls init`: an authority for development, a server's pair and clients' pairs, for the hop between two shims. */
import { linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { isHost, isWildcard } from '../config/address.ts';
import { readFaultWords } from '../config/world.ts';
import { EXIT } from './exit.ts';
import { AuthorityError, createAuthority, issue, MOST_DAYS, openAuthority } from './tls-authority.ts';
import type { Authority, Pair } from './tls-authority.ts';
import { describe, formatResult, LOCAL_NAMES, ownNames, type TlsInitResult } from './tls-result.ts';
import type { World } from './world.ts';

export interface TlsInitOptions {
  /** Where the files are, as the user calls it. */
  readonly folder: string;
  /** Names and addresses of the server beside those of loopback. */
  readonly hosts: readonly string[];
  /** Shims that call for callers of their own. */
  readonly clients: readonly string[];
  /** Callers that are known by a certificate. */
  readonly callers?: readonly string[] | undefined;
  /** How long a pair is valid. */
  readonly days: string;
  /** Write over pairs that are there; an authority never is. */
  readonly force?: boolean | undefined;
  readonly json?: boolean | undefined;
}

const STANDARD_CLIENT = 'shim-a';
/** Of a caller's name only `@` is missing, which the path of a SPIFFE id cannot have. */
const CLIENT_NAME = /^(?!(?:ca|server)$)[a-z0-9][a-z0-9._-]{0,127}$/i;
const CLIENT_WORDS = 'expected 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit, but not ca or server';
const HOST_WORDS = 'expected a name or an address to connect to, without scheme, brackets, port and closing dot';

/** Why nothing is made, in words for the user, with the exit code that says of which kind it is. */
class TlsInitError extends Error {
  readonly code: number;
  constructor(message: string, code: number = EXIT.no) {
    super(message);
    this.code = code;
  }
}

/**
 * In a folder without an authority it makes one, a pair for the server and one for each client. In a folder that has
 * one it signs with that, and makes only what is named, or the server's pair and the standard client's where nothing
 * is. The authority itself is never made anew.
 *
 * @param world streams, clock
 * @param options what the command line says
 * @returns 0 when all of it is written; 1 when something is there already, cannot be written, or cannot sign; 2 for
 *   a name or a time that no certificate is made for
 */
export async function runTlsInit(world: World, options: TlsInitOptions): Promise<number> {
  const { folder, force = false, json = false } = options;
  try {
    const days = readDays(options.days);
    const asked = options.hosts.map(readHost);
    const named = [...new Set(options.clients.map((name) => readClient('--client', name)))];
    const callers = [...new Set((options.callers ?? []).map((name) => readClient('--caller', name)))];
    const both = callers.find((name) => named.includes(name));
    if (both !== undefined) throw new TlsInitError(`"${both}" is a --client and a --caller: name one`, EXIT.usage);
    const path = resolve(world.cwd, folder);
    refuseOpenFolder(path, folder);
    const before = readAuthority(path, folder);
    const authority = await open(before, world, folder);
    const isAll = before === undefined || asked.length + named.length + callers.length === 0;
    // A pair that is made anew is for the names that it was for.
    const hosts = asked.length > 0 ? asked : ownNames(readText(path, folder, 'server.crt'));
    const clients = isAll && named.length + callers.length === 0 ? [STANDARD_CLIENT] : named;

    const made = new Map<string, Pair>();
    if (!before) made.set('ca', authority.pair);
    const sign = async (name: string, usage: 'serverAuth' | 'clientAuth', names: readonly string[]): Promise<void> => {
      const leaf = { commonName: usage === 'serverAuth' ? 'auth-shim server' : name, usage, days };
      made.set(name, await issue(authority, { ...leaf, names: names.map(alternativeName) }, world.now()));
    };
    if (isAll || asked.length > 0) await sign('server', 'serverAuth', [...new Set([...LOCAL_NAMES, ...hosts])]);
    for (const name of [...clients, ...callers]) await sign(name, 'clientAuth', [`spiffe://auth-shim/${name}`]);
    write(path, folder, made, force);

    const server = made.get('server')?.cert;
    const describeAll = (names: readonly string[]): TlsInitResult['clients'] =>
      names.map((name) => ({ name, ...describe(folder, name, made.get(name)?.cert ?? '') }));
    const result: TlsInitResult = {
      authority: { ...describe(folder, 'ca', authority.pair.cert), made: !before },
      server: server === undefined ? null : describe(folder, 'server', server),
      clients: describeAll(clients),
      callers: describeAll(callers),
    };
    world.stdout(json ? `${JSON.stringify(result, null, 2)}\n` : formatResult(result, hosts));
    const { cert, key } = result.authority;
    world.stderr(`For development: whoever has ${key} can be any server and any client to all who trust ${cert}.\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof TlsInitError)) throw error;
    world.stderr(`${error.message}\n`);
    return error.code;
  }
}

function readDays(text: string): number {
  const days = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (days >= 1 && days <= MOST_DAYS) return days;
  throw new TlsInitError(`--days "${text}": expected a count from 1 to ${MOST_DAYS}`, EXIT.usage);
}

function readClient(option: '--client' | '--caller', name: string): string {
  if (CLIENT_NAME.test(name)) return name;
  throw new TlsInitError(`${option} "${name}": ${CLIENT_WORDS}`, EXIT.usage);
}

/** An IPv6 address is spelled as URLs have it: the library that encodes certificates misreads `::ffff:192.0.2.1`. */
function readHost(text: string): string {
  const host = isIP(text) === 6 ? URL.parse(`http://[${text}]`)?.hostname.slice(1, -1) : text.toLowerCase();
  // One with a zone (`fe80::1%eth0`) is none of a URL's.
  if (host !== undefined && isHost(host) && !isWildcard(host)) return host;
  throw new TlsInitError(`--host "${text}": ${HOST_WORDS}`, EXIT.usage);
}

function alternativeName(value: string): { readonly type: 'dns' | 'ip' | 'url'; readonly value: string } {
  return { type: value.startsWith('spiffe:') ? 'url' : isIP(value) ? 'ip' : 'dns', value };
}

/** Who may write there can put another authority in the place of this one, to be signed with or to be trusted. */
function refuseOpenFolder(path: string, folder: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isDirectory() || (found.mode & 0o002) === 0) return;
  throw new TlsInitError(
    `every user of this machine may write to ${folder}: chmod 700 it once its files are yours, or name another folder`,
  );
}

function readText(path: string, folder: string, name: string): string | undefined {
  try {
    return readFileSync(join(path, name), 'utf8');
  } catch (error) {
    // Where the folder is none, making it says so.
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw new TlsInitError(`${join(folder, name)} ${readFaultWords(error)}`);
  }
}

function readAuthority(path: string, folder: string): Pair | undefined {
  const [cert, key] = [readText(path, folder, 'ca.crt'), readText(path, folder, 'ca.key')];
  if (cert === undefined && key === undefined) return undefined;
  if (cert !== undefined && key !== undefined) return { cert, key };
  const [there, missing] = cert === undefined ? ['ca.key', 'ca.crt'] : ['ca.crt', 'ca.key'];
  throw new TlsInitError(`${folder} has ${there} without ${missing}: bring it back, or name another folder`);
}

async function open(before: Pair | undefined, world: World, folder: string): Promise<Authority> {
  if (!before) {
    // Two authorities of one name would be hard to tell apart, for people and for programs that trust both.
    const mark = Buffer.from(world.randomBytes(4)).toString('hex');
    return createAuthority(`auth-shim development CA ${mark}`, world.now());
  }
  try {
    return await openAuthority(before, world.now());
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    throw new TlsInitError(
      `${join(folder, 'ca.crt')} ${error.message}: name another folder, or take ca.crt and ca.key away`,
    );
  }
}

/**
 * Each file is whole when it gets its name. Without `force` either all of them get theirs, or none; an authority, which
 * comes first, takes no other's name in any case: another run may have made one by now.
 */
function write(path: string, folder: string, made: ReadonlyMap<string, Pair>, force: boolean): void {
  const files = [...made].flatMap(([name, { cert, key }]) => [
    { name: `${name}.key`, text: key, mode: 0o600 },
    { name: `${name}.crt`, text: cert, mode: 0o644 },
  ]);
  const linked: string[] = [];
  let fresh: string | undefined;
  let at = folder;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    fresh = mkdtempSync(join(path, '.new-'));
    for (const { name, text, mode } of files) writeFileSync(join(fresh, name), text, { mode, flush: true });
    for (const { name } of files) {
      at = join(folder, name);
      if (force && !name.startsWith('ca.')) {
        renameSync(join(fresh, name), join(path, name));
      } else {
        // Unlike a rename, a link fails where a file is.
        linkSync(join(fresh, name), join(path, name));
        linked.push(join(path, name));
      }
    }
  } catch (error) {
    for (const file of linked) rmSync(file, { force: true });
    const code = codeOf(error);
    if (code === undefined) throw error;
    if (code !== 'EEXIST') throw new TlsInitError(`${at} cannot be written (${code})`);
    if (at === folder) throw new TlsInitError(`${folder} is no folder: name another`);
    const isAuthority = made.has('ca') && (at === join(folder, 'ca.key') || at === join(folder, 'ca.crt'));
    throw new TlsInitError(
      isAuthority
        ? `${at} is there by now: take it away, or run this once more`
        : `${at} exists; --force writes over it`,
    );
  } finally {
    if (fresh !== undefined) rmSync(fresh, { recursive: true, force: true });
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
