/** Values that stand where a secret should be. A secret that everybody knows is none. */
import { hash } from 'node:crypto';

const WORDS = [
  '',
  'undefined',
  'null',
  'none',
  'nil',
  'nan',
  'true',
  'false',
  '[object object]',
  'changeme',
  'change-me',
  'change_me',
  'password',
  'passwd',
  'secret',
  'token',
  'test',
  'admin',
  'default',
  'example',
  'placeholder',
  'todo',
  'openclaw',
  'your-token',
  'your_token',
  'yourtoken',
  'your-secret',
  'your-password',
  'your-token-here',
  'replace-me',
  'replace_me',
  'replaceme',
  'replace_me_with_token',
  'insert-token-here',
  '__openclaw_redacted__',
  'my-token',
  'my-secret',
  'gateway-token',
  'bearer',
  '123456',
  '12345678',
] as const;

const KNOWN: ReadonlySet<string> = new Set(WORDS);

/** `<token>`, `${TOKEN}`, `{{ token }}`, `%TOKEN%`, `xxxx`, `****`, `....` */
const SHAPES = /^(?:<.*>|\$\{.*\}|\$\(.*\)|\{\{.*\}\}|%[A-Za-z_]+%|x+|X+|\*+|\.+|-+|0+)$/s;

/** `REPLACE_ME_WITH_TOKEN`, `change-this-secret`, `your_gateway_token_here`, `__OPENCLAW_REDACTED__` */
const PHRASES =
  /^(?:(?:replace|change)[-_]?(?:me|this|with)(?:[-_].*)?|(?:your|my|insert|put|paste|enter|add|set)(?:[-_][a-z]+)*[-_](?:token|secret|password|key)(?:[-_](?:here|goes[-_]here))?|[_[]*(?:[a-z]+_)?redacted[_\]]*)$/i;

/**
 * @param text a secret as it was found
 * @returns whether it is a filler that somebody forgot to replace
 */
export function isPlaceholder(text: string): boolean {
  return KNOWN.has(text.toLowerCase()) || SHAPES.test(text) || PHRASES.test(text);
}

const HASHES: ReadonlySet<string> = new Set(
  WORDS.flatMap((word) => [word, `${word}\n`, word.toUpperCase()]).map((word) => hash('sha256', word)),
);

/**
 * @param digest SHA-256, 64 lower-case hex digits
 * @returns whether it is the hash of a filler, with or without the newline that `echo` adds
 */
export function isPlaceholderHash(digest: string): boolean {
  return HASHES.has(digest);
}
