/** Edits of callers and tokens in the text of a configuration. Every line that is not meant stays byte for byte. */
import { isDeepStrictEqual } from 'node:util';
import { isMap, isScalar, isSeq, parseDocument, type Document, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';
import type { Scope } from '../types.ts';
import {
  appendFlowItem,
  appendItem,
  fillFlowList,
  fillList,
  removeFlowItem,
  removeItem,
  setKey,
  type Source,
} from './splice.ts';

/** A token as the file has it. */
export interface TokenEntry {
  /** SHA-256, 64 lower-case hex digits. */
  readonly hash: string;
  readonly expires?: string;
}

/** A file that is laid out so that no edit of it is safe. */
export class EditError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EditError';
  }
}

/**
 * @param text the configuration
 * @param name of the new caller
 * @param scopes what it may do
 * @param token its first token
 * @returns the text with the caller at the end of `callers`
 * @throws EditError
 */
export function addCaller(text: string, name: string, scopes: readonly Scope[], token: TokenEntry): string {
  return edit(text, (source) => {
    const { document } = source;
    const caller = document.createNode({ name, tokens: [written(token)], scopes }) as YAMLMap;
    (caller.get('scopes') as YAMLSeq).flow = true;
    return addItem(source, document.contents as YAMLMap, 'callers', caller);
  });
}

/**
 * @param text the configuration
 * @param name of a caller
 * @param token to add
 * @returns the text with the token at the end of the caller's
 * @throws EditError
 */
export function addToken(text: string, name: string, token: TokenEntry): string {
  return edit(text, (source) =>
    addItem(source, callerNode(source, name), 'tokens', source.document.createNode(written(token))),
  );
}

/**
 * @param text the configuration
 * @param name of a caller
 * @param hash of one of its tokens
 * @returns the text without the token
 * @throws EditError
 */
export function removeToken(text: string, name: string, hash: string): string {
  return edit(text, (source) => {
    const { pair, list, index } = tokenPlace(source, name, hash);
    const result = list.flow ? removeFlowItem(source, list, index) : removeItem(source, pair, index);
    list.items.splice(index, 1);
    return result;
  });
}

/**
 * @param text the configuration
 * @param name of a caller
 * @param hash of one of its tokens
 * @param expires a date or a time, as the file has it
 * @returns the text in which the token expires then
 * @throws EditError
 */
export function setExpires(text: string, name: string, hash: string, expires: string): string {
  return edit(text, (source) => {
    const { list, index } = tokenPlace(source, name, hash);
    const token = list.items[index] as YAMLMap;
    const result = setKey(source, token, 'expires', expires);
    token.set('expires', expires);
    return result;
  });
}

/**
 * Each change is made twice, on the text and on the parsed document; the new text has to say what the
 * document says. Layouts that the change on the text does not know are so found out before anything is written.
 */
function edit(text: string, change: (source: Source) => string): string {
  const document = parse(text);
  const result = change({ text, document });
  if (!saysTheSame(parse(result), document)) {
    throw new EditError('the file is laid out in a way that cannot be edited safely; change it by hand');
  }
  return result;
}

function saysTheSame(a: Document.Parsed, b: Document.Parsed): boolean {
  if (a.errors.length > 0) return false;
  try {
    return isDeepStrictEqual(a.toJS(), b.toJS());
  } catch {
    // An alias has lost its anchor.
    return false;
  }
}

function parse(text: string): Document.Parsed {
  return parseDocument(text, { prettyErrors: false, version: '1.2', schema: 'core' });
}

function written({ hash, expires }: TokenEntry): { hash: string; expires?: string } {
  return { hash: `sha256:${hash}`, ...(expires !== undefined && { expires }) };
}

function addItem(source: Source, parent: YAMLMap, key: string, item: unknown): string {
  const pair = pairOf(parent, key);
  if (pair === undefined) {
    const result = addKey(source, parent, key, item);
    parent.set(key, source.document.createNode([item]));
    return result;
  }
  const list: unknown = pair.value;
  if (isSeq(list) && list.items.length > 0) {
    const result = list.flow ? appendFlowItem(source, list, item) : appendItem(source, list, item);
    list.items.push(item);
    return result;
  }
  if (!isSeq(list) && !(isScalar(list) && list.value === null) && list !== null) {
    throw new EditError(`"${key}" is no plain list; change it by hand`);
  }
  const flow = (): string => (isSeq(list) ? appendFlowItem(source, list, item) : fillFlowList(source, pair, item));
  const result = parent.flow ? flow() : fillList(source, pair, item);
  pair.value = source.document.createNode([item]);
  return result;
}

/** A key that is not there yet: at the end of the file, or at the end of the caller. */
function addKey(source: Source, parent: YAMLMap, key: string, item: unknown): string {
  if (parent.flow) return setKey(source, parent, key, [item]);
  const text = setKey(source, parent, key, '');
  const document = parse(text);
  const path = parent === source.document.contents ? [] : pathOf(source.document, parent);
  const pair = pairOf((path.length === 0 ? document.contents : document.getIn(path)) as YAMLMap, key);
  return pair === undefined ? text : fillList({ text, document }, pair, item);
}

function pathOf(document: Document, caller: YAMLMap): (string | number)[] {
  return ['callers', (document.get('callers') as YAMLSeq).items.indexOf(caller)];
}

function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
}

function callerNode({ document }: Source, name: string): YAMLMap {
  const callers: unknown = document.get('callers');
  const found = isSeq(callers) ? callers.items.find((item) => isMap(item) && item.get('name') === name) : undefined;
  if (!isMap(found)) throw new EditError(`there is no caller "${name}" in a plain list`);
  return found;
}

function tokenPlace(source: Source, name: string, hash: string): { pair: Pair; list: YAMLSeq; index: number } {
  const pair = pairOf(callerNode(source, name), 'tokens');
  const list = pair?.value;
  const index = isSeq(list) ? list.items.findIndex((item) => isMap(item) && item.get('hash') === `sha256:${hash}`) : -1;
  if (pair === undefined || !isSeq(list) || index < 0)
    throw new EditError(`"${name}" has no such token in a plain list`);
  return { pair, list, index };
}
