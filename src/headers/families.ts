/** Which header names are not the caller's to send, by folded name. Pure. */

/**
 * Families of identity, forwarding, routing-override and gateway headers, by prefix of the folded name.
 * Whole families, since lists of single names were gone round again and again (CVE-2026-39858,
 * CVE-2026-54763, CVE-2024-45806).
 */
const PROTECTED_PREFIXES = [
  'x-openclaw',
  'x-auth-shim',
  'forwarded',
  'x-forward',
  'x-original-',
  'x-rewrite-',
  'x-real-ip',
  'x-client-',
  'x-cluster-client',
  'x-arr-',
  'x-azure-',
  'x-appengine-',
  'x-host',
  'x-scheme',
  'x-url-scheme',
  'front-end-https',
  'x-proxyuser',
  'x-envoy-',
  'client-ip',
  'client-cert',
  'fly-client',
  'true-client',
  'fastly-client',
  'cf-',
  'tailscale-',
  'x-tailscale-',
  'x-vercel-',
  'x-originating-',
  'wl-proxy-',
  'proxy-client-ip',
  'x-remote-',
  'remote-',
  'x-auth-',
  'x-user',
  'x-authenticated',
  'x-authentik',
  'x-webauth-',
  'x-pomerium-',
  'x-goog-authenticated',
  'x-goog-iap',
  'x-amzn-oidc',
  'x-ms-client-principal',
  'x-ssl-',
  'ssl-client',
  'x-http-method',
  'x-http-host',
  'x-method-override',
];
const PROTECTED = new RegExp(`^(?:${PROTECTED_PREFIXES.join('|')})`);

/** Names come again with every request; what strangers make up must not fill the memory. */
const MOST_NAMES = 1_000;
const LONGEST_NAME = 64;
const folds = new Map<string, string>();
const verdicts = new Map<string, boolean>();

/**
 * CGI, WSGI and others read `x_openclaw_scopes` or `x.openclaw.scopes` as `x-openclaw-scopes`
 * (CVE-2025-64484, CVE-2026-52845), so names are compared after this fold.
 *
 * @param name header name in any case
 * @returns lower case, with every character that is not a letter or digit as `-`
 */
export function foldName(name: string): string {
  return remembered(folds, name, fold);
}

/**
 * @param folded a name that `foldName` returned
 * @returns whether only the shim may set this header towards the gateway, and nobody sees it come back
 */
export function isProtectedFamily(folded: string): boolean {
  return remembered(verdicts, folded, (name) => PROTECTED.test(name));
}

function fold(name: string): string {
  const lower = name.toLowerCase();
  return /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9]/g, '-') : lower;
}

function remembered<T>(known: Map<string, T>, name: string, find: (name: string) => T): T {
  const before = known.get(name);
  if (before !== undefined) return before;
  const found = find(name);
  if (known.size < MOST_NAMES && name.length <= LONGEST_NAME) known.set(name, found);
  return found;
}
