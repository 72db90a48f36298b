/** `auth-shim doctor`: what of the gateway and the configuration holds, and what to change. */
import { networkInterfaces } from 'node:os';
import { stripVTControlCharacters, styleText } from 'node:util';
import { isLoopback } from '../config/address.ts';
import { examine, type Examined } from '../doctor/examine.ts';
import type { Change, Found, Severity } from '../doctor/finding.ts';
import { secretsOf } from '../gateway/present.ts';
import { loadOrTell } from './config-world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

export interface DoctorOptions {
  readonly config: string;
  readonly json?: boolean | undefined;
  /** Ask for one chat. */
  readonly chat?: boolean | undefined;
}

/**
 * Looks at the gateway as the shim with this configuration would meet it, and prints what it finds.
 *
 * @param world streams, clock
 * @param options what the command line says
 * @returns 0 where there is no fault, 1 where there is one, 78 for a configuration that cannot run
 */
export async function runDoctor(world: World, options: DoctorOptions): Promise<number> {
  const loaded = await loadOrTell(world, options.config);
  if (!loaded) return EXIT.config;
  const { config } = loaded;
  const { now, cwd } = world;
  const asked = { file: options.config, chat: options.chat === true };
  const seen = await examine(loaded, asked, { now, cwd, addresses: ownAddresses });
  const { origin, auth } = config.gateway;
  const ok = seen.findings.every(({ severity }) => severity !== 'fault');
  const text = options.json
    ? `${escaped(JSON.stringify(documentOf(world, origin, seen, ok), undefined, 2))}\n`
    : words(`${origin} (${auth.mode})`, seen.findings, world.coloured);
  // What the gateway says is quoted here and there; it may repeat what it was sent.
  world.stdout(secretsOf(config).reduce((all, secret) => all.replaceAll(secret, '****'), text));
  return ok ? EXIT.ok : EXIT.no;
}

/** Those with a scope of their own (fe80::) are of one cable alone. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return all.map(({ address }) => address).filter((one) => !isLoopback(one) && !/^fe[89ab]/i.test(one));
}

function pageOf({ id }: Pick<Found, 'id'>): string {
  return `docs/doctor.md#${id}`;
}

function documentOf({ version }: World, origin: string, { release, mode, findings }: Examined, ok: boolean): object {
  return {
    version,
    gateway: { origin, release: release ?? null, mode: mode ?? null },
    findings: findings.map((one) => ({ ...one, doc: pageOf(one) })),
    ok,
  };
}

const COLOURS = { fault: 'red', warning: 'yellow', note: 'cyan', ok: 'green' } as const;
const GRAVEST: readonly Severity[] = ['fault', 'warning', 'note', 'ok'];
const INDENT = ' '.repeat(9);
/** Characters; with what a gateway says in it. */
const MOST_MESSAGE = 2_000;

function words(about: string, findings: readonly Found[], coloured: boolean): string {
  const mark = (severity: Severity): string =>
    coloured ? styleText(COLOURS[severity], severity, { validateStream: false }) : severity;
  const blocks = [...findings]
    .sort((one, other) => GRAVEST.indexOf(other.severity) - GRAVEST.indexOf(one.severity))
    .map((one) => {
      const { severity, id, message, changes } = one;
      const lines = [`${mark(severity)}${' '.repeat(9 - severity.length)}${id}: ${clean(message)}`];
      for (const change of changes) lines.push(...changeLines(change));
      if (severity === 'fault' || severity === 'warning') lines.push(`${INDENT}see ${pageOf(one)}`);
      return lines.join('\n');
    });
  return `${about}\n${blocks.join('\n')}\n${sum(findings)}\n`;
}

function changeLines({ file, lines }: Change): string[] {
  return [`${INDENT}${file === 'command' ? 'type' : `in ${file}`}:`, ...lines.map((line) => `${INDENT}  ${line}`)];
}

/** What a gateway says goes to a terminal. */
function clean(message: string): string {
  return stripVTControlCharacters(message)
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .slice(0, MOST_MESSAGE);
}

/** JSON escapes C0 controls alone; the others, and changes of direction, deceive on a terminal too. */
function escaped(json: string): string {
  const units = (text: string): string =>
    text.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return json.replaceAll(/[\x7f-\x9f]|\p{Cf}/gu, units);
}

function sum(findings: readonly Found[]): string {
  const count = (severity: Severity): number => findings.filter((one) => one.severity === severity).length;
  const parts = (['fault', 'warning'] as const)
    .map((severity) => [count(severity), severity] as const)
    .filter(([number]) => number > 0)
    .map(([number, severity]) => `${number} ${severity}${number === 1 ? '' : 's'}`);
  return parts.length > 0 ? parts.join(', ') : 'all well';
}
