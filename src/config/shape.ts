/** Compares a tree with the raw shape, and keeps the parts that fit so that they can be looked at further. */
import * as z from 'zod';
import type { Path, Report } from './report.ts';
import { didYouMean } from './suggest.ts';

/** What is left of a raw value when each part that does not fit was taken out. A hole was reported already. */
export type Sound<T> = T extends readonly (infer Item)[]
  ? readonly (Sound<Item> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Sound<T[Key]> }
    : T;

/**
 * @param schema the shape
 * @param tree plain data; it is changed: what does not fit is cut out
 * @param report gets every fault of shape
 * @returns the tree, as far as it fits
 */
export function checkShape<T extends z.ZodType>(
  schema: T,
  tree: Readonly<Record<string, unknown>>,
  report: Report,
): Sound<z.infer<T>> {
  const result = schema.safeParse(tree, { error: typeWords });
  const cuts: Path[] = [];
  for (const { path, issue } of everyIssue(schema, tree, [], result.error)) {
    if (issue.code === 'unrecognized_keys' && issue.message === UNKNOWN) {
      for (const key of issue.keys) report.error([...path, key], unknownKeyWords(schema, path, key), 'key');
    } else {
      const missing = path.length > 0 && valueAt(tree, path) === undefined;
      report.error(path, missing ? requiredWords(schemaAt(schema, path)) : issue.message);
      cuts.push(path);
    }
  }
  for (const path of cuts) cut(tree, path);
  return tree as Sound<z.infer<T>>;
}

const UNKNOWN = 'unknown key';

interface PlacedIssue {
  readonly path: Path;
  readonly issue: z.core.$ZodIssue;
}

/** A list with too many items is given up before these are looked at: they are looked at here. */
function everyIssue(root: z.ZodType, tree: unknown, base: Path, error: z.ZodError | undefined): PlacedIssue[] {
  return (error?.issues ?? []).flatMap((issue) => {
    const path = [...base, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))];
    const list = issue.code === 'too_big' ? valueAt(tree, path) : undefined;
    const schema = schemaAt(root, path);
    if (!Array.isArray(list) || !(schema instanceof z.ZodArray)) return [{ path, issue }];
    const element = schema.element as z.ZodType;
    const items = list.flatMap((item, index) =>
      everyIssue(root, tree, [...path, index], element.safeParse(item, { error: typeWords }).error),
    );
    return [{ path, issue }, ...items];
  });
}

/** The words where the schema has none of its own: plain types, and keys that no strict object lists. */
function typeWords(issue: z.core.$ZodRawIssue): string {
  if (issue.code === 'unrecognized_keys') return UNKNOWN;
  if (issue.code !== 'invalid_type') return 'this value does not fit';
  const wanted = { object: 'a map', array: 'a list', boolean: 'true or false', string: 'a text' }[
    issue.expected as string
  ];
  return `expected ${wanted ?? `a ${issue.expected}`}, found ${kindOf(issue.input)}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`;
}

function requiredWords(schema: unknown): string {
  const description = schema instanceof z.ZodType ? schema.description : undefined;
  return `this key is required${description === undefined ? '' : `: ${description}`}`;
}

function unknownKeyWords(schema: z.ZodType, parent: Path, key: string): string {
  return `${UNKNOWN}${didYouMean(key, knownKeys(schema, parent))}`;
}

/** The keys that the schema has at a path. */
function knownKeys(root: z.ZodType, path: Path): readonly string[] {
  const schema = schemaAt(root, path);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function schemaAt(root: z.ZodType, path: Path): unknown {
  let schema = bare(root);
  for (const step of path) {
    if (schema instanceof z.ZodObject) schema = bare((schema.shape as Record<string, unknown>)[step]);
    else if (schema instanceof z.ZodArray) schema = bare(schema.element);
    else return undefined;
  }
  return schema;
}

function bare(schema: unknown): unknown {
  return schema instanceof z.ZodOptional ? schema.unwrap() : schema;
}

function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[step] : undefined,
    tree,
  );
}

function cut(tree: unknown, path: Path): void {
  const last = path.at(-1);
  const parent = valueAt(tree, path.slice(0, -1));
  if (last === undefined || typeof parent !== 'object' || parent === null) return;
  // A list keeps the places of its items: later faults name them by index.
  if (Array.isArray(parent)) parent[Number(last)] = undefined;
  else delete (parent as Record<string, unknown>)[last];
}
