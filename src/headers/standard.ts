/** Names of identity headers that everybody knows. Any other configured name is itself a secret. */

const STANDARD: ReadonlySet<string> = new Set(
  `x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip
   x-forwarded-user x-forwarded-email x-forwarded-preferred-username x-forwarded-groups
   x-auth-request-user x-auth-request-email x-auth-request-preferred-username x-auth-request-groups
   remote-user remote-email remote-name remote-groups x-remote-user x-webauth-user
   x-authentik-username x-authentik-email x-pomerium-claim-email x-goog-authenticated-user-email
   cf-access-authenticated-user-email tailscale-user-login x-user x-user-email`.split(/\s+/),
);

/**
 * @param folded a header name, as `foldName` gives it
 * @returns whether proxies commonly send it
 */
export function isStandardHeader(folded: string): boolean {
  return STANDARD.has(folded);
}
