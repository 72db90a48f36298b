/**
 * Changes to the text of a YAML file that leave every other byte as it is. The library's own output would
 * lay out the whole file anew: aligned comments and wrapped lines would move.
 */
import {
  isMap,
  isScalar,
  isSeq,
  stringify,
  type Document,
  type Node,
  type Pair,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';

/** A text and what was parsed from it, offsets included. */
export interface Source {
  readonly text: string;
  readonly document: Document.Parsed;
}

/**
 * @param source the text
 * @param list a block list of it with items
 * @param item what to add at its end, as a node of the library or plain data
 * @returns the new text
 */
export function appendItem({ text }: Source, list: YAMLSeq, item: unknown): string {
  const indent = columnOf(text, startOf(list));
  return insertLines(text, endOfLine(text, lastOffset(list)), itemLines(item, indent));
}

/**
 * @param source the text
 * @param pair a key whose list is empty or absent (`callers:`, `callers: []`)
 * @param item what becomes its only item
 * @returns the new text
 */
export function fillList({ text }: Source, pair: Pair, item: unknown): string {
  const key = pair.key as Node;
  const [start, end] = (pair.value as Node | null)?.range ?? [0, 0];
  const cut = end > start ? text.slice(0, start).trimEnd() + text.slice(end) : text;
  return insertLines(cut, endOfLine(cut, endOf(key)), itemLines(item, columnOf(text, startOf(key)) + 2));
}

/**
 * @param source the text
 * @param pair the key of a block list
 * @param index the item to take out, with the lines it stands on
 * @returns the new text
 */
export function removeItem({ text }: Source, pair: Pair, index: number): string {
  const list = pair.value as YAMLSeq;
  const item = list.items[index] as Node;
  // Where the item begins, its dash has been; comments above it stay.
  const from = text.lastIndexOf('\n', startOf(item)) + 1;
  const rest = text.slice(0, from) + text.slice(endOfLine(text, lastOffset(item)));
  if (list.items.length > 1) return rest;
  const colon = text.indexOf(':', endOf(pair.key as Node)) + 1;
  return `${rest.slice(0, colon)} []${rest.slice(colon)}`;
}

/**
 * @param source the text
 * @param list a flow list (`[…]`) of it
 * @param item what to add at its end, as a node of the library or plain data
 * @returns the new text
 */
export function appendFlowItem({ text }: Source, list: YAMLSeq, item: unknown): string {
  const last = list.items.at(-1) as Node | undefined;
  return last === undefined
    ? insert(text, startOf(list) + 1, flowText(item))
    : insert(text, endOf(last), `, ${flowText(item)}`);
}

/**
 * @param source the text
 * @param pair a key of a flow map (`{…}`) that has no value (`tokens:`, `tokens: null`, `tokens`)
 * @param item what becomes the only item of its list
 * @returns the new text
 */
export function fillFlowList({ text }: Source, pair: Pair, item: unknown): string {
  const key = endOf(pair.key as Node);
  const [start, end] = (pair.value as Node | null)?.range ?? [key, key];
  const list = `[${flowText(item)}]`;
  if (end > start) return text.slice(0, start) + list + text.slice(end);
  const colon = /^\s*:/.exec(text.slice(key))?.[0].length;
  return colon === undefined ? insert(text, key, `: ${list}`) : insert(text, key + colon, ` ${list}`);
}

/**
 * @param source the text
 * @param list a flow list of it
 * @param index the item to take out, with the comma that parts it from the next one, or from the one before
 * @returns the new text
 */
export function removeFlowItem({ text }: Source, list: YAMLSeq, index: number): string {
  const items = list.items as Node[];
  const [before, item, after] = [items[index - 1], items[index] as Node, items[index + 1]];
  if (after) return text.slice(0, startOf(item)) + text.slice(startOf(after));
  if (before) return text.slice(0, endOf(before)) + text.slice(endOf(item));
  return `${text.slice(0, startOf(list))}[]${text.slice(endOf(list))}`;
}

/**
 * @param source the text
 * @param map a map with keys
 * @param key a key that it has with a plain value, or has not
 * @param value what it is to be: a text, or a list of one item where the map is a flow one
 * @returns the new text
 */
export function setKey({ text }: Source, map: YAMLMap, key: string, value: string | readonly [unknown]): string {
  const written = typeof value === 'string' ? stringify(value).trimEnd() : `[${flowText(value[0])}]`;
  const old: unknown = map.get(key, true);
  if (isScalar(old) && old.range) return text.slice(0, old.range[0]) + written + text.slice(old.range[1]);
  const last = map.items.at(-1);
  if (map.flow && last) return insert(text, lastOfPair(last), `, ${key}: ${written}`);
  const indent = ' '.repeat(columnOf(text, startOf(map)));
  return insertLines(text, endOfLine(text, lastOffset(map)), [`${indent}${key}: ${written}`]);
}

function flowText(item: unknown): string {
  return stringify(item, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
}

function insert(text: string, at: number, what: string): string {
  return text.slice(0, at) + what + text.slice(at);
}

function itemLines(item: unknown, indent: number): string[] {
  return stringify(item, { lineWidth: 0, flowCollectionPadding: false })
    .trimEnd()
    .split('\n')
    .map((line, index) => `${' '.repeat(indent)}${index === 0 ? '- ' : '  '}${line}`);
}

function insertLines(text: string, at: number, lines: readonly string[]): string {
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const before = text.slice(0, at);
  const gap = before === '' || before.endsWith('\n') ? '' : newline;
  return `${before}${gap}${lines.join(newline)}${newline}${text.slice(at)}`;
}

/** Where the last thing of a node ends that is no comment: collections of the library end behind theirs. */
function lastOffset(node: Node): number {
  if (!(isMap(node) || isSeq(node)) || node.flow) return endOf(node);
  const last: unknown = node.items.at(-1);
  if (last === undefined) return endOf(node);
  return isMap(node) ? lastOfPair(last as Pair) : lastOffset(last as Node);
}

function lastOfPair({ key, value }: Pair): number {
  const node = value as Node | null;
  return node?.range && node.range[1] > node.range[0] ? lastOffset(node) : endOf(key as Node);
}

function endOfLine(text: string, offset: number): number {
  // A block scalar ends behind its line break.
  if (text[offset - 1] === '\n') return offset;
  const newline = text.indexOf('\n', offset);
  return newline < 0 ? text.length : newline + 1;
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}

function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}

function endOf(node: Node): number {
  return node.range?.[1] ?? 0;
}
