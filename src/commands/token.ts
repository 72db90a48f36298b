/** `auth-shim token …`: mints, lists, rotates, revokes and hashes tokens, in the text of the configuration. */
import { hashToken, hasValidChecksum, isMintedShape, mintToken } from '../callers/token.ts';
import { addCaller, addToken, removeToken, setExpires } from '../config/edit.ts';
import { isPlaceholder } from '../config/placeholder.ts';
import { CALLER_NAME, CALLER_NAME_WORDS } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { readBearer } from '../headers/bearer.ts';
import { isScope } from '../scopes.ts';
import { SCOPES, type Caller, type Scope, type Token } from '../types.ts';
import { EXIT } from './exit.ts';
import { graceEnd, writtenExpiry } from './expiry.ts';
import { table } from './table.ts';
import { callerNamed, openCallers, save, telling, TokenError } from './token-file.ts';
import type { World } from './world.ts';

const MOST_TOKENS = 2;

export interface TokenNewOptions {
  readonly config: string;
  readonly name: string;
  readonly scopes: readonly string[];
  /** `90d`, `12h`, a date or a time. */
  readonly expires?: string | undefined;
}

/**
 * Creates the caller, or adds a token to it; prints the token once, alone on stdout.
 *
 * @param world streams, clock, random source
 * @param options what the command line says
 * @returns 0; 1 when the file does not allow it; 2 for a wrong argument; 78 for a configuration with faults
 */
export function runTokenNew(world: World, { config, name, scopes, expires }: TokenNewOptions): Promise<number> {
  return telling(world, async () => {
    if (!CALLER_NAME.test(name)) throw new TokenError(CALLER_NAME_WORDS, EXIT.usage);
    const asked = readScopes(scopes);
    const until = expires === undefined ? undefined : writtenExpiry(expires, world.now());
    if (until instanceof Error) throw new TokenError(until.message, EXIT.usage);
    const opened = await openCallers(world, config);
    const caller = opened.callers.find((one) => one.name === name);
    const token = mintToken(world.randomBytes);
    const entry = { hash: hashToken(token), ...(until !== undefined && { expires: until }) };
    let text: string;
    if (caller === undefined) {
      if (asked.length === 0) {
        const hint = didYouMean(name, opened.callers.map((one) => one.name)); // prettier-ignore
        throw new TokenError(`there is no caller "${name}"${hint}; to create it, say --scope`, EXIT.usage);
      }
      text = addCaller(opened.text, name, asked, entry);
    } else {
      if (asked.length > 0 && !sameScopes(asked, caller.scopes)) {
        const has = caller.scopes.join(', ') || 'none';
        throw new TokenError(`"${name}" exists with other scopes (${has}); change them in ${config}`, EXIT.usage);
      }
      text = addToken(withRoom(opened.text, caller, world), name, entry);
    }
    await save(opened, text);
    tellNew(world, caller === undefined ? 'new caller' : 'new token for', name, token, until);
  });
}

export interface TokenListOptions {
  readonly config: string;
  readonly json?: boolean | undefined;
}

/**
 * @param world streams, clock
 * @param options what the command line says
 * @returns 0; 78 for a configuration with faults
 */
export function runTokenList(world: World, { config, json }: TokenListOptions): Promise<number> {
  return telling(world, async () => {
    const { callers } = await openCallers(world, config);
    const rows = callers.flatMap((caller) => rowsOf(caller, world.now()));
    if (json) {
      world.stdout(`${JSON.stringify(rows, null, 2)}\n`);
      return;
    }
    const cells = rows.map((row) => [row.caller, row.id ?? '-', row.state, row.expires ?? '-', row.scopes.join(' ')]);
    world.stdout(table([['CALLER', 'ID', 'STATE', 'EXPIRES', 'SCOPES'], ...cells]));
  });
}

interface TokenRow {
  readonly caller: string;
  readonly id: string | null;
  readonly state: 'live' | 'expired' | 'not yet valid' | 'no token';
  readonly notBefore: string | null;
  readonly expires: string | null;
  readonly scopes: readonly Scope[];
}

function rowsOf({ name: caller, tokens, scopes }: Caller, now: number): TokenRow[] {
  if (tokens.length === 0) return [{ caller, id: null, state: 'no token', notBefore: null, expires: null, scopes }];
  return tokens.map((token) => ({
    caller,
    id: token.id,
    state: stateOf(token, now),
    notBefore: isoTime(token.notBefore),
    expires: isoTime(token.expires),
    scopes,
  }));
}

export interface TokenRotateOptions {
  readonly config: string;
  readonly name: string;
  /** How long the present token stays valid; `0` ends it at once. */
  readonly grace?: string | undefined;
  /** Of the new token. */
  readonly expires?: string | undefined;
}

/**
 * Mints a new token; the present one expires after the grace time.
 *
 * @param world streams, clock, random source
 * @param options what the command line says
 * @returns 0; 1 when there is nothing to rotate, or two tokens are live; 2 for a wrong argument; 78 for faults
 */
export function runTokenRotate(world: World, options: TokenRotateOptions): Promise<number> {
  return telling(world, async () => {
    const { config, name, grace = '24h', expires } = options;
    const until = expires === undefined ? undefined : writtenExpiry(expires, world.now());
    const end = graceEnd(grace, world.now());
    for (const value of [until, end]) if (value instanceof Error) throw new TokenError(value.message, EXIT.usage);
    const opened = await openCallers(world, config);
    const caller = callerNamed(opened, name);
    const [present, ...others] = caller.tokens.filter((token) => stateOf(token, world.now()) !== 'expired');
    if (present === undefined) throw new TokenError(`"${name}" has no live token: use "token new ${name}"`);
    if (others.length > 0) throw new TokenError(`"${name}" is in rotation already; revoke one token first`);
    const token = mintToken(world.randomBytes);
    let text = withRoom(opened.text, caller, world);
    text = addToken(text, name, { hash: hashToken(token), ...(typeof until === 'string' && { expires: until }) });
    if (end === undefined) text = removeToken(text, name, present.hash);
    else if (typeof end === 'string' && (present.expires ?? Infinity) > Date.parse(end)) {
      text = setExpires(text, name, present.hash, end);
    }
    await save(opened, text);
    tellNew(world, 'new token for', name, token, typeof until === 'string' ? until : undefined);
    world.stderr(`token ${present.id} ${end === undefined ? 'is revoked' : `stays valid for ${grace} at most`}\n`);
  });
}

export interface TokenRevokeOptions {
  readonly config: string;
  readonly name: string;
  /** Which token: its id, or as much of it as names one alone. All of them without it. */
  readonly id?: string | undefined;
}

/**
 * @param world streams
 * @param options what the command line says
 * @returns 0; 1 when there is no such token; 78 for a configuration with faults
 */
export function runTokenRevoke(world: World, { config, name, id }: TokenRevokeOptions): Promise<number> {
  return telling(world, async () => {
    const opened = await openCallers(world, config);
    const caller = callerNamed(opened, name);
    const gone = caller.tokens.filter((token) => id === undefined || token.id.startsWith(id));
    if (gone.length === 0) throw new TokenError(`"${name}" has no ${id === undefined ? 'token' : `token ${id}`}`);
    if (id !== undefined && gone.length > 1) throw new TokenError(`"${name}" has more than one token ${id}…`);
    let { text } = opened;
    for (const { hash } of gone) text = removeToken(text, name, hash);
    await save(opened, text);
    for (const token of gone) world.stderr(`token ${token.id} of "${name}" is revoked\n`);
    world.stderr('A shim that runs with this file refuses it within a second, and ends what is open with it.\n');
  });
}

/**
 * Reads a token from stdin and prints `sha256:…` for `tokens[].hash`.
 *
 * @param world streams
 * @returns 0; 1 when the shim would not take such a token
 */
export function runTokenHash(world: World): Promise<number> {
  return telling(world, async () => {
    const text = (await world.stdin()).replace(/\r?\n$/, '');
    const bearer = readBearer(`Bearer ${text}`);
    if (typeof bearer === 'string' || isPlaceholder(text)) {
      throw new TokenError('expected a token of 24 to 512 characters of A-Z a-z 0-9 - . _ ~ + / on stdin');
    }
    if (isMintedShape(text) && !hasValidChecksum(text))
      throw new TokenError('this token is mistyped: its checksum is wrong');
    world.stdout(`sha256:${hashToken(bearer.token)}\n`);
  });
}

function readScopes(scopes: readonly string[]): Scope[] {
  return scopes.map((scope) => {
    if (!isScope(scope)) throw new TokenError(`unknown scope "${scope}"${didYouMean(scope, SCOPES)}`, EXIT.usage);
    return scope;
  });
}

function sameScopes(a: readonly Scope[], b: readonly Scope[]): boolean {
  return SCOPES.every((scope) => a.includes(scope) === b.includes(scope));
}

/** Takes out what has expired, where there is no room for one token more. */
function withRoom(text: string, caller: Caller, world: World): string {
  if (caller.tokens.length < MOST_TOKENS) return text;
  const expired = caller.tokens.filter((token) => stateOf(token, world.now()) === 'expired');
  if (expired.length === 0) {
    throw new TokenError(
      `"${caller.name}" has two tokens (${caller.tokens.map(({ id }) => id).join(', ')}); revoke one first`,
    );
  }
  return expired.reduce((before, { hash }) => removeToken(before, caller.name, hash), text);
}

function tellNew(world: World, what: string, name: string, token: string, until: string | undefined): void {
  world.stdout(`${token}\n`);
  world.stderr(
    `${what} "${name}"${until === undefined ? '' : `, expires ${until}`}. The token is shown this once; the file has its hash.\n` +
      'A shim that runs with this file accepts it within a second.\n',
  );
}

function stateOf(token: Token, now: number): 'live' | 'expired' | 'not yet valid' {
  if (token.expires !== undefined && token.expires <= now) return 'expired';
  return token.notBefore !== undefined && token.notBefore > now ? 'not yet valid' : 'live';
}

function isoTime(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : new Date(milliseconds).toISOString();
}
