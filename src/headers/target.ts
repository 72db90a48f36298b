/** The request target: either exactly what policy and gateway both read in one way, or refused. Pure. */

/** The one place where clients send an encoded slash: SDKs ask for the model `openclaw/default` so. */
export const MODEL_ID = 'openclaw(?:(?:%2[Ff]|:)(?!\\.{1,2}$)[A-Za-z0-9._-]{1,64})?';
const MODEL_PATH = new RegExp(`^/v1/models/${MODEL_ID}$`);

const CREDENTIAL_PARAMETER = /^(?:token|access_token|password)$/i;

export interface Target {
  /** The path, byte for byte. */
  readonly path: string;
  /** The query with its `?`, byte for byte, or empty. */
  readonly query: string;
}

/**
 * Accepts origin-form alone (RFC 9112 section 3.2.1), in which nothing can be read in two ways. Refused,
 * never cleaned: dot segments also encoded, empty segments, `\`, `;`, fragments, encoded separators,
 * double and malformed encodings, and credentials in the query, which logs on the way would keep.
 *
 * @param target the request target as it came
 * @returns its parts, or what is wrong with it
 */
export function readTarget(target: string): Target | { readonly wrong: string } {
  if (target[0] !== '/') return { wrong: 'the request target must be in origin-form (begin with "/")' };
  if (target.includes('#')) return { wrong: 'the request target has a fragment' };
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? '' : target.slice(mark);

  if (/[^\x21-\x7e]/.test(path)) return { wrong: 'the path has a character outside printable ASCII' };
  if (/[\\;]/.test(path)) return { wrong: 'the path has a "\\" or ";"' };
  if (path.includes('//')) return { wrong: 'the path has an empty segment' };
  if (path.includes('%')) {
    const encoded = wrongEncoding(path);
    if (encoded) return { wrong: encoded };
  }
  if (/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path)) return { wrong: 'the path has a dot segment' };
  if (query !== '' && namesCredential(query)) {
    return { wrong: 'a credential in the query is not accepted; send it as "Authorization: Bearer <token>"' };
  }
  return { path, query };
}

function wrongEncoding(path: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'the path has a malformed percent-encoding';
  if (/%(?:[01][0-9a-f]|7f)/i.test(path)) return 'the path has an encoded control character';
  if (/%(?:25|2e|3b|23|3f)/i.test(path)) return 'the path encodes one of "%", ".", ";", "#", "?"';
  if (/%(?:2f|5c)/i.test(path) && !MODEL_PATH.test(path)) return 'the path has an encoded "/" or "\\"';
  try {
    decodeURIComponent(path);
    return undefined;
  } catch {
    return 'the path has a percent-encoding that is not UTF-8';
  }
}

/** Names are compared decoded, and `;` parts too, as some servers read `;` like `&`. */
function namesCredential(query: string): boolean {
  for (const part of query.slice(1).split(/[&;]/)) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    if (CREDENTIAL_PARAMETER.test(name.includes('%') ? decodeAscii(name) : name)) return true;
  }
  return false;
}

/** Decodes what is ASCII alone: never throws, and a name that needs more is none of ours. */
function decodeAscii(text: string): string {
  return text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
