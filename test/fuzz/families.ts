/** What must not come from a caller, said once more: not by the functions that are tried. */

/** @returns a name as a careless reader may take it: CGI has `_` for `-`, others any sign */
export function folded(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');
}

/** @returns whether a folded name is of those by which proxies speak of callers */
export function isFamily(name: string): boolean {
  return /^(?:x-openclaw-|x-forwarded(?:-|$)|forwarded$|tailscale-|x-real-ip$|x-original-|x-rewrite-url$|true-client-ip$)/.test(
    name,
  );
}
