/** The text of a configuration file as a tree, and the way back from a path in it to line and column. */
import {
  LineCounter,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  visit,
  type Document,
  type Node,
  type YAMLError,
} from 'yaml';
import { ConfigError, type ConfigIssue } from './config.ts';
import type { Path } from './report.ts';

/** More than any hand writes; less than a parser needs seconds for. */
const MOST_BYTES = 1024 * 1024;
/** The library's own bound for aliases, which stops "billion laughs". */
const MOST_ALIASES = 100;

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface ConfigDocument {
  /** Plain data; the root is a map. */
  readonly tree: Readonly<Record<string, unknown>>;
  /**
   * @param path a value; the nearest ancestor that exists stands for a missing one
   * @param at `key`: the key itself
   * @returns line and column, from 1
   */
  readonly locate: (path: Path, at?: 'key') => Position | undefined;
}

/**
 * @param file its name, for the errors
 * @param text YAML 1.2
 * @returns the tree and where its parts stand
 * @throws ConfigError for YAML that does not parse, duplicate keys, several documents, unknown tags,
 *   too many aliases, a root that is no map, an empty file
 */
export function readDocument(file: string, text: string): ConfigDocument {
  const fail = (message: string, position?: Position): ConfigError =>
    new ConfigError(file, [{ level: 'error', path: '', message, ...position }]);
  if (Buffer.byteLength(text) > MOST_BYTES) throw fail('the file is larger than 1 MiB');
  const lines = new LineCounter();
  // prettyErrors would put lines of the file, and with them perhaps a secret, into the messages.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2', schema: 'core' });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    const issues = faults.map((fault): ConfigIssue => ({
      level: 'error',
      path: '',
      message: wordsOf(fault),
      ...position(fault.pos[0]),
    }));
    throw new ConfigError(file, issues);
  }
  if (document.contents === null) throw fail('the file is empty');
  if (!isMap(document.contents)) throw fail('expected a map of keys such as "gateway:"', { line: 1, column: 1 });
  refuseTraps(document, (message, offset) => fail(message, position(offset)));
  let tree: Record<string, unknown>;
  try {
    tree = document.toJS({ maxAliasCount: MOST_ALIASES }) as Record<string, unknown>;
  } catch (error) {
    throw fail(error instanceof Error ? error.message : 'the file cannot be read as YAML');
  }
  return {
    tree,
    locate: (path, at) => {
      const node = nodeAt(document, path, at);
      return node?.range ? position(node.range[0]) : undefined;
    },
  };
}

/** In place of the library's words that quote the file: what stands there may be a secret that somebody typed. */
const WORDS: Partial<Record<YAMLError['code'], string>> = {
  MULTIPLE_DOCS: 'the file holds more than one YAML document',
  TAG_RESOLVE_FAILED: 'a tag ("!") is not taken here; a text that begins so needs quotes',
  BAD_COLLECTION_TYPE: 'a tag ("!") is not taken here; a text that begins so needs quotes',
  BAD_DIRECTIVE: 'a directive ("%") is not taken here; a text that begins so needs quotes',
  BAD_DQ_ESCAPE: 'not an escape ("\\") of a text in double quotes; single quotes have none',
};

/** What stands behind a colon is what was found. */
function wordsOf({ code, message }: YAMLError): string {
  return WORDS[code] ?? (code === 'UNEXPECTED_TOKEN' ? message.replace(/(?<=\w): .*$/s, '') : message);
}

/** What the library would let pass, or tell without its place. */
function refuseTraps(document: Document, fail: (message: string, offset: number) => ConfigError): void {
  visit(document, {
    Pair: (_, { key }) => {
      // Objects inherit from it: such a key would hide from every check that enumerates keys.
      if (isScalar(key) && key.value === '__proto__') throw fail('"__proto__" is no key', key.range?.[0] ?? 0);
    },
    Alias: (_, alias) => {
      if (alias.resolve(document) === undefined)
        throw fail('this alias has no anchor before it', alias.range?.[0] ?? 0);
    },
  });
}

function nodeAt(document: Document, path: Path, at: 'key' | undefined): Node | undefined {
  let node: unknown = document.contents;
  for (const [depth, step] of path.entries()) {
    const parent: unknown = isAlias(node) ? node.resolve(document) : node;
    let next: unknown;
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(step));
      // A key without a value (`admin:`) has a node of no width; its key says more.
      next = pair && ((at === 'key' && depth === path.length - 1) || !hasWidth(pair.value) ? pair.key : pair.value);
    } else if (isSeq(parent)) {
      next = parent.items[Number(step)];
    }
    if (next === undefined || next === null) break;
    node = next;
  }
  return node as Node | undefined;
}

function hasWidth(value: unknown): boolean {
  const range = (value as Node | null)?.range;
  return range != null && range[1] > range[0];
}
