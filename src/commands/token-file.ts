/** The file that the token commands edit: opened, written, and what stands in the way told. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigError } from '../config/config.ts';
import { EditError } from '../config/edit.ts';
import { parseSoundCallersFile, type CallersPlace } from '../config/callers-file.ts';
import { parseCallers } from '../config/load.ts';
import { replaceFile, ReplaceError } from '../config/replace.ts';
import { didYouMean } from '../config/suggest.ts';
import { readFaultWords } from '../config/world.ts';
import type { Caller } from '../types.ts';
import { configWorld } from './config-world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

export interface Opened {
  /** The configuration, or its `callersFile`: what has `callers:`. */
  readonly name: string;
  readonly path: string;
  readonly text: string;
  readonly callers: readonly Caller[];
  /** Reads a text that is to take its place. */
  readonly parse: (text: string) => Promise<CallersPlace>;
}

/** What stands in the way, in words for the user, with the exit code that says of which kind it is. */
export class TokenError extends Error {
  readonly code: number;
  constructor(message: string, code: number = EXIT.no) {
    super(message);
    this.code = code;
  }
}

/**
 * @param world gets the words of what the command throws
 * @param command what is done
 * @returns the exit code
 */
export async function telling(world: World, command: () => Promise<void>): Promise<number> {
  try {
    await command();
    return EXIT.ok;
  } catch (error) {
    if (error instanceof TokenError || error instanceof EditError || error instanceof ReplaceError) {
      world.stderr(`${error.message}\n`);
      return error instanceof TokenError ? error.code : EXIT.no;
    }
    if (error instanceof ConfigError) {
      world.stderr(`${error.message}\n`);
      return EXIT.config;
    }
    throw error;
  }
}

/**
 * @param world where the command runs
 * @param name the configuration, as the user calls it
 * @returns its text and the callers in it
 * @throws ConfigError with every fault of the text; a secret that is not set here is none
 */
export async function openCallers(world: World, name: string): Promise<Opened> {
  const path = resolve(world.cwd, name);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const hint = '; "auth-shim init" writes one';
    throw new ConfigError(name, [
      { level: 'error', path: '', message: `the configuration ${readFaultWords(error)}${hint}` },
    ]);
  }
  const place = await parseCallers(name, text, configWorld(world));
  const parse = (after: string): Promise<CallersPlace> => parseCallers(name, after, configWorld(world));
  return place.file === name
    ? { name, path, text, callers: place.callers, parse }
    : {
        name: place.file,
        path: resolve(world.cwd, place.file),
        text: place.text,
        callers: place.callers,
        parse: async (after) => parseSoundCallersFile(place.file, after, world.now()),
      };
}

/**
 * What would not load is not written.
 *
 * @param opened what was read
 * @param after the new text
 * @throws ConfigError, ReplaceError, TokenError
 */
export async function save({ name, path, text: before, parse }: Opened, after: string): Promise<void> {
  await parse(after);
  try {
    replaceFile(path, before, after);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'EEXIST')
      throw new TokenError(`another command writes ${name}, or one was cut off: see .${name}.new`);
    throw new TokenError(`${name} cannot be written (${String(error.code)})`);
  }
}

/**
 * @param opened what was read
 * @param name of a caller
 * @returns the caller
 * @throws TokenError
 */
export function callerNamed({ callers }: Opened, name: string): Caller {
  const caller = callers.find((one) => one.name === name);
  if (caller) return caller;
  throw new TokenError(`there is no caller "${name}"${didYouMean(name, callers.map((one) => one.name))}`); // prettier-ignore
}
