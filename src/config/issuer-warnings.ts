/** What is allowed of an issuer and still deserves a word. */
import { hasScope } from '../scopes.ts';
import type { ClaimRules } from './claim-rules.ts';
import type { IntrospectionConfig } from './introspection.ts';
import type { IssuerConfig } from './issuers.ts';
import type { Path, Report } from './report.ts';

/** Audiences that tokens have for others, or by default: whoever holds such a token need not have meant this shim. */
const OTHERS_AUDIENCES: readonly RegExp[] = [
  /^https:\/\/kubernetes\.default\.svc(?:\.|$)/,
  /^sts\.amazonaws\.com$/,
  /^(?:api:\/\/AzureADTokenExchange|00000003-0000-0000-c000-000000000000)$/,
  /^https:\/\/(?:graph\.microsoft\.com|management\.azure\.com|vault\.azure\.net|storage\.azure\.com)\/?$/,
  /^(?:https:)?\/\/iam\.googleapis\.com\//,
  /^https:\/\/[a-z0-9.-]+\.googleapis\.com\/?$/,
  /^https:\/\/[^/]+\.auth0\.com\/(?:api\/v2\/|userinfo)$/,
  /^https:\/\/(?:github|gitlab)\.com(?:\/[^/]*)?$/,
  /^(?:account|sigstore|pypi|npm:registry\.npmjs\.org|vault|default|api:\/\/default|\*)$/,
];

/** Whoever has an account there gets tokens for any audience. */
const FOR_EVERYBODY: ReadonlySet<string> = new Set([
  'https://token.actions.githubusercontent.com',
  'https://accounts.google.com',
  'https://gitlab.com',
  'https://agent.buildkite.com',
  'https://app.terraform.io',
]);

/**
 * @param issuers of a configuration that can run
 * @param report gets the warnings
 */
export function warnOfIssuers(issuers: readonly IssuerConfig[], report: Report): void {
  for (const [index, issuer] of issuers.entries()) {
    const { name } = issuer;
    const path = ['issuers', index];
    warnOfCeiling(issuer, path, report);
    if (issuer.keys.kind === 'secret') {
      report.warning([...path, 'algorithms'], `HS256: whoever can verify tokens of "${name}" can also make them`);
    }
    warnOfAudience(issuer, path, report);
    if (issuer.keys.kind === 'jwksUri' && /\/\.well-known\/(?:openid-configuration|oauth-)/.test(issuer.keys.url)) {
      report.warning(
        [...path, 'jwksUri'],
        'this looks like a discovery document, which has no keys: call it discovery',
      );
    }
    if (issuer.keys.kind === 'discovery' && !issuer.keys.url.includes('/.well-known/')) {
      report.warning(
        [...path, 'discovery'],
        'expected the URL of the document, which has /.well-known/ in it; true builds it from the issuer',
      );
    }
    if (FOR_EVERYBODY.has(issuer.issuer) && issuer.match.length === 0) {
      report.warning(
        [...path],
        `everybody can get tokens of ${issuer.issuer}: add match, so that only yours are taken`,
      );
    }
  }
}

/**
 * @param introspection of a configuration that can run
 * @param report gets the warnings
 */
export function warnOfIntrospection(introspection: IntrospectionConfig, report: Report): void {
  warnOfAudience(introspection, ['introspection'], report);
  warnOfCeiling(introspection, ['introspection'], report);
}

function warnOfAudience(
  { audience, issuer }: { readonly audience: readonly string[]; readonly issuer?: string },
  path: Path,
  report: Report,
): void {
  for (const one of audience) {
    if (one !== issuer && !OTHERS_AUDIENCES.some((pattern) => pattern.test(one))) continue;
    report.warning(
      [...path, 'audience'],
      `"${one}" looks like somebody else's: tokens that were made for others would be taken here`,
    );
  }
}

function warnOfCeiling({ name, scopes, policy }: ClaimRules, path: Path, report: Report): void {
  const at = [...path, 'scopes', 'ceiling'];
  if (hasScope(scopes.ceiling, 'operator.admin')) {
    report.warning(at, `"${name}" can make anybody operator.admin: it has no narrower ceiling`);
  }
  if (scopes.ceiling.length === 0 && !policy.tools?.length) {
    report.warning(at, `callers of "${name}" get no scopes: every route refuses them`);
  }
}
