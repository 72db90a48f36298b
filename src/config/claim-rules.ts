/** What the claims of a token say of a caller: scopes, name and policy. The same for every section whose callers come by claims. */
import * as z from 'zod';
import type { Caller, Scope } from '../types.ts';
import { buildCaller, reaches, type CallerContext } from './callers.ts';
import { parseClaimPath, parseTemplate, type ClaimPath, type NameTemplate } from './claim-path.ts';
import type { Path, Report } from './report.ts';
import type { rawCallersFile } from './schema.ts';
import type { Sound } from './shape.ts';
import { DURATION, parseDuration } from './units.ts';

/** How claims become a caller. */
export interface ClaimRules {
  /** 1 to 32 of a-z 0-9 -, beginning with a letter: callers are called `name:…`. */
  readonly name: string;
  readonly scopes: {
    readonly claim: ClaimPath;
    /** What each value grants; without a map values are the names of scopes themselves. */
    readonly map?: ReadonlyMap<string, readonly Scope[]>;
    /** What any of these callers may have at most. */
    readonly ceiling: readonly Scope[];
  };
  /** What the name has after `name:`. */
  readonly template: NameTemplate;
  /** Claims that must have one of these values, as they are or in a list. */
  readonly match: readonly { readonly claim: ClaimPath; readonly values: readonly (string | boolean)[] }[];
  /** What all these callers have in common: limits, headers, WebSocket. */
  readonly policy: Omit<Caller, 'name' | 'tokens' | 'certificates' | 'onBehalf' | 'scopes'>;
}

/**
 * @param config sections that may be there
 * @returns all sections whose callers come by claims, issuers first
 */
export function providersOf<T extends object>({
  issuers,
  introspection,
}: {
  readonly issuers: readonly T[];
  readonly introspection?: T | undefined;
}): T[] {
  return introspection ? [...issuers, introspection] : [...issuers];
}

const NAME = 'expected a name of 1 to 32 of a-z 0-9 -, beginning with a letter';
const VALUE = 'expected 1 to 512 characters of visible ASCII, exactly as the tokens have it';
const CLAIM = 'expected a claim such as scope or realm_access.roles, or a list of steps';
const CALLER = 'expected either a claim, or a template such as "{repository}@{ref}"';
const MATCH = 'expected a text, true or false, or a list of them';
const TIME = 'expected a duration such as 30s or 5m, or 0';
const GRANTS = 'the claim that grants scopes, and the ceiling of what it can grant';
const CEILING = 'the scopes that any of these callers may have at most, such as [operator.read]';
const FILE = 'expected the path of a file';

const step = z.string(CLAIM).min(1, CLAIM);
const claim = z.union([step, z.array(step).min(1, CLAIM)], CLAIM);
const matched = z.union([z.string(), z.boolean()], MATCH);

/** As a token has it, byte for byte. */
export const tokenValue = z.string(VALUE).regex(/^[\x21-\x7e]{1,512}$/, VALUE);
export const audience = z.union([tokenValue, z.array(tokenValue).min(1, VALUE)], VALUE);
export const duration = z.union([z.literal(0), z.string().regex(DURATION)], TIME);
export const filePath = z.string(FILE).min(1, FILE);

export type CallerSchema = ReturnType<(typeof rawCallersFile)['shape']['callers']['unwrap']>['element'];

/**
 * @param caller the shape of one of `callers`: what it has beside name and credentials, these callers have in common
 * @returns the keys of the section as they are written
 */
export function rawClaimRules(caller: CallerSchema) {
  const scopes = caller.shape.scopes.unwrap();
  const policy = caller
    .pick({ allowHeaders: true, onForbiddenHeader: true, agent: true, sessionPrefix: true, tools: true, from: true })
    .extend(caller.pick({ allowMethods: true, denyMethods: true, limits: true }).shape)
    // Bytes of a tunnel are not read, so it needs operator.admin: nothing that a claim should hand out.
    .extend({ websocket: z.enum(['off', 'relay'], 'expected off or relay').optional() });
  return {
    name: z.string(NAME).regex(/^[a-z][a-z0-9-]{0,31}$/, NAME),
    scopes: z
      .strictObject({ claim, map: z.record(z.string(), scopes).optional(), ceiling: scopes.describe(CEILING) })
      .describe(GRANTS),
    caller: z.strictObject({ claim: claim.optional(), template: z.string().optional() }).optional(),
    match: z.record(z.string(), z.union([matched, z.array(matched).min(1, MATCH)], MATCH)).optional(),
    policy: policy.optional(),
  };
}

/** These keys, as far as they have their shape. */
export type RawClaimRules = Sound<z.infer<z.ZodObject<ReturnType<typeof rawClaimRules>>>>;

/**
 * @param raw these keys
 * @param path where they stand
 * @param context standard limits, the time and the mode of the gateway
 * @param report gets what is wrong
 * @returns the rules, or `undefined` where a fault of what they need was reported
 */
export function buildClaimRules(
  raw: RawClaimRules,
  path: Path,
  context: CallerContext,
  report: Report,
): ClaimRules | undefined {
  const { name } = raw;
  const scopes = buildScopes(raw.scopes, [...path, 'scopes'], report);
  const template = buildTemplate(raw.caller, [...path, 'caller'], report);
  const match = buildMatch(raw.match, [...path, 'match'], report);
  const {
    name: _name,
    tokens: _tokens,
    scopes: _scopes,
    ...policy
  } = buildCaller({ ...raw.policy }, context, [...path, 'policy'], report);
  return name !== undefined && scopes && template ? { name, scopes, template, match, policy } : undefined;
}

/**
 * @param raw a duration as it is written
 * @param standard what it is where nothing is written, milliseconds
 * @returns milliseconds
 */
export function milliseconds(raw: string | 0 | undefined, standard: number): number {
  return raw === undefined ? standard : raw === 0 ? 0 : (parseDuration(raw) ?? standard);
}

/** A list, where one item may stand for itself; each once. */
export function listOf<T extends string | boolean>(raw: T | readonly (T | undefined)[] | undefined): T[] {
  const list = Array.isArray(raw) ? (raw as readonly (T | undefined)[]) : [raw as T | undefined];
  return [...new Set(list.flatMap((item) => item ?? []))];
}

/** Whose sessions begin with a prefix. */
export interface SessionOwner {
  readonly name: string;
  readonly sessionPrefix?: string | undefined;
}

/**
 * Callers by claims share the prefix of their section; nobody else may reach what begins with it, nor they what is
 * another's.
 *
 * @param sessionPrefix of the section
 * @param path of the section
 * @param owners everybody else
 * @param report gets what is wrong
 */
export function refuseSharedSessions(
  sessionPrefix: string,
  path: Path,
  owners: readonly SessionOwner[],
  report: Report,
): void {
  const owner = owners.find(
    (other) =>
      other.sessionPrefix !== undefined &&
      (reaches(other.sessionPrefix, sessionPrefix) || reaches(sessionPrefix, other.sessionPrefix)),
  );
  if (owner) {
    report.error(
      [...path, 'policy', 'sessionPrefix'],
      `its sessions and those of "${owner.name}" would be open to both: one prefix begins with the other`,
    );
  }
}

function buildScopes(raw: RawClaimRules['scopes'], path: Path, report: Report): ClaimRules['scopes'] | undefined {
  const claim = raw?.claim === undefined ? undefined : readPath(raw.claim, [...path, 'claim'], report);
  const granted = Object.entries(raw?.map ?? {});
  for (const [name] of granted) {
    // A value that can be read as two is never taken for either.
    if (!/^[^,\p{Cc}]+$/u.test(name)) {
      report.error([...path, 'map', name], 'a value with a comma or a control character grants nothing', 'key');
    }
  }
  if (raw?.ceiling === undefined || claim === undefined) return undefined;
  const map = raw.map && new Map(granted.map(([name, scopes]) => [name, listOf<Scope>(scopes)]));
  return { claim, ...(map && { map }), ceiling: listOf<Scope>(raw.ceiling) };
}

function buildTemplate(raw: RawClaimRules['caller'], path: Path, report: Report): NameTemplate | undefined {
  if (raw === undefined) return ['', ['sub'], ''];
  if ((raw.claim === undefined) === (raw.template === undefined)) {
    report.error(path, CALLER);
    return undefined;
  }
  if (raw.claim !== undefined) {
    const claim = readPath(raw.claim, [...path, 'claim'], report);
    return claim && ['', claim, ''];
  }
  const template = parseTemplate(raw.template ?? '');
  if (!('fault' in template)) return template;
  report.error([...path, 'template'], template.fault);
  return undefined;
}

function buildMatch(raw: RawClaimRules['match'], path: Path, report: Report): ClaimRules['match'] {
  return Object.entries(raw ?? {}).flatMap(([name, values]) => {
    const claim = readPath(name, [...path, name], report, 'key');
    return claim ? [{ claim, values: listOf<string | boolean>(values) }] : [];
  });
}

function readPath(
  written: string | readonly (string | undefined)[],
  path: Path,
  report: Report,
  at?: 'key',
): ClaimPath | undefined {
  const steps = typeof written === 'string' ? written : written.flatMap((step) => step ?? []);
  // A hole was reported already.
  if (steps.length !== written.length) return undefined;
  const found = parseClaimPath(steps);
  if (!('fault' in found)) return found;
  report.error(path, found.fault, at);
  return undefined;
}
