/** Secrets by reference: `{ env }`, `{ file }`, `{ openclaw }`. No message ever holds a value. */
import { isPlaceholder } from './placeholder.ts';
import type { Path, Report } from './report.ts';
import type { Reference } from './schema.ts';
import { readFaultWords, resolvePath, type ConfigWorld } from './world.ts';

const MOST_BYTES = 64 * 1024;
/** What others on the machine may do: the group, and everybody. */
const READ_BY_OTHERS = 0o044;
const WRITTEN_BY_OTHERS = 0o022;

/** Where secrets are looked for, and who is told what is wrong. */
export interface SecretSource {
  /** The configuration file: relative paths start in its folder. */
  readonly file: string;
  readonly world: ConfigWorld;
  readonly report: Report;
}

/**
 * @param value a secret as it was found
 * @returns what is wrong with it, or `undefined`
 */
export function secretFault(value: string): string | undefined {
  if (value.trim() === '') return 'is empty';
  if (/[\s\p{Cc}]/u.test(value)) return 'holds a space, a line break or a control character';
  if (/[^\x21-\x7e]/.test(value)) return 'holds a character that a header cannot carry';
  if (isPlaceholder(value)) return 'is a placeholder; put the real secret there';
  return undefined;
}

/**
 * @param reference what the configuration says
 * @param path where it says so
 * @param source where to look
 * @returns the value, or `undefined` when a fault was reported
 */
export function resolveSecret(reference: Reference, path: Path, source: SecretSource): string | undefined {
  const { report } = source;
  if (reference.openclaw !== undefined) {
    report.error(path, '{ openclaw } is for gateway.auth.secret only; use { env } or { file }');
    return undefined;
  }
  if (reference.env !== undefined) {
    return readVariable(reference.env, [...path, 'env'], source);
  }
  // Neither key: the shape was at fault, and is reported.
  if (reference.file === undefined) return undefined;
  const at = [...path, 'file'];
  const text = readSecretFile(reference.file, at, source);
  return text === undefined ? undefined : sound(text.replace(/\r?\n$/, ''), 'the file', at, report);
}

/**
 * @param name of an environment variable
 * @param path where the configuration asks for it
 * @returns its value, or `undefined` when a fault was reported
 */
export function readVariable(name: string, path: Path, { report, world }: SecretSource): string | undefined {
  // Somebody may have put the secret itself where its name belongs: only what looks like a name is repeated.
  const called = /^[A-Z][A-Z0-9_]{0,63}$/.test(name) ? `the variable ${name}` : 'the variable named here';
  const value = world.env[name];
  if (typeof value === 'string') return sound(value, called, path, report);
  report.unresolved(path, `${called} is not set`);
  return undefined;
}

/**
 * @param written the path as the configuration has it
 * @param path where it has it
 * @returns the whole text of the file, or `undefined` when a fault was reported
 */
export function readSecretFile(written: string, path: Path, { file, world, report }: SecretSource): string | undefined {
  const target = resolvePath(written, file, world.home);
  try {
    const text = world.readFile(target);
    if (Buffer.byteLength(text) > MOST_BYTES) {
      report.unresolved(path, `${target} is larger than 64 KiB: no secret is`);
      return undefined;
    }
    const mode = world.fileMode?.(target) ?? 0;
    const open = [...(mode & READ_BY_OTHERS ? ['read'] : []), ...(mode & WRITTEN_BY_OTHERS ? ['changed'] : [])];
    if (open.length > 0) {
      report.warning(path, `${target} can be ${open.join(' and ')} by other users of this machine: chmod 600 it`);
    }
    return text;
  } catch (error) {
    report.unresolved(path, `${target} ${readFaultWords(error)}`);
    return undefined;
  }
}

function sound(value: string, called: string, path: Path, report: Report): string | undefined {
  const fault = secretFault(value);
  if (fault === undefined) return value;
  report.unresolved(path, `${called} ${fault}`);
  return undefined;
}
