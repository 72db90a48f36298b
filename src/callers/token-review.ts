/** JWTs that a Kubernetes API server is asked about, where nobody gets its keys (authentication.k8s.io/v1). */
import type { JWTClaimVerificationOptions } from 'jose';
import type { IssuerConfig } from '../config/issuers.ts';
import type { Refusal } from '../errors.ts';
import type { Caller } from '../types.ts';
import { createAnswers, type Answers, type AnswersDeps } from './answers.ts';
import { exchange, readJson } from './fetch-json.ts';
import type { VerifiedToken } from './jwt.ts';
import type { KeysDeps } from './keys.ts';
import { invalid } from './unauthenticated.ts';
import { createClaimJudge, type Claims, type VouchedToken } from './vouched.ts';

/** A token that the API server has vouched for. */
export type ReviewedToken = VerifiedToken & VouchedToken;

export type TokenReview = Answers<ReviewedToken>;

/** What the review of tokens is made of. */
export interface TokenReviewDeps extends AnswersDeps, Pick<KeysDeps, 'lookup'> {
  /** What jose checks of the claims. */
  readonly options: JWTClaimVerificationOptions;
  /** By which tokens are verified, as one text. */
  readonly rules: string;
  readonly callerFrom: (issuer: IssuerConfig, claims: Claims) => Caller | Refusal;
}

/**
 * The API server says whether a token is one of its own, still belongs to something that exists, and is for one of the
 * audiences. What is in it is checked here, as it is for every JWT.
 *
 * @param issuer whose `keys` are a `tokenReview`
 * @param deps rules, what names callers, time, log and names of hosts
 * @returns its word about tokens whose header and payload are unambiguous JSON, and whose `iss` is the issuer's
 */
export async function createTokenReview(issuer: IssuerConfig, deps: TokenReviewDeps): Promise<TokenReview> {
  const { name, keys, ca, bearer = '', audience, clockTolerance } = issuer;
  const { api, cache } = keys as Extract<typeof keys, { readonly kind: 'tokenReview' }>;
  const { options, rules, lookup } = deps;
  const callerFrom = deps.callerFrom.bind(undefined, issuer);
  const judge = await createClaimJudge<ReviewedToken>({
    about: `a token of ${name}`,
    options: () => options,
    lateness: clockTolerance,
    rules,
    callerFrom,
    complete: (token) => ({ ...token, issuer: issuer.issuer, header: issuer.header, keyId: '' }),
  });

  return createAnswers<ReviewedToken>(
    {
      who: `tokenReview ${name}`,
      cache,
      rules,
      callerFrom,
      async ask(asked, now, signal) {
        const sent = {
          method: 'POST',
          headers: {
            accept: 'application/json',
            authorization: `Bearer ${bearer}`,
            'content-type': 'application/json',
          },
          body: JSON.stringify({
            apiVersion: VERSION,
            kind: 'TokenReview',
            spec: { token: asked.raw, audiences: audience },
          }),
        } as const;
        const answer = await exchange(api, sent, { ca, lookup, signal });
        if (answer.status === 401 || answer.status === 403) throw new Error(refusalWords(answer.status));
        if (answer.status !== 200 && answer.status !== 201) throw new Error(`the answer is ${answer.status}`);
        const { apiVersion, kind, status } = readJson(answer) as Partial<Review>;
        if (apiVersion !== VERSION || kind !== 'TokenReview' || typeof status !== 'object' || status === null) {
          throw new Error('the answer is no TokenReview');
        }
        const about = `a token of ${name}: the API server`;
        const { authenticated = false, audiences, user } = status;
        if (typeof authenticated !== 'boolean') throw new Error('the answer has an "authenticated" that is no boolean');
        if (!authenticated) return invalid(asked.hash, `${about} does not know it`);
        // A server that knows no audiences has none here, and takes the token for itself.
        const forShim = Array.isArray(audiences) && audiences.some((one) => audience.includes(one as string));
        if (!forShim) return invalid(asked.hash, `${about} says that it is for others`);
        const [header, claims] = asked.raw.split('.', 2).map(decode) as [Claims, Claims];
        if (user?.username === undefined || user.username !== claims.sub) {
          return invalid(asked.hash, `${about} says that it is somebody else's`);
        }
        return judge(asked, claims, now, header.typ as string | undefined);
      },
    },
    deps,
  );
}

const VERSION = 'authentication.k8s.io/v1';

/** As far as it is read; what it has need not be so. */
interface Review {
  readonly apiVersion: unknown;
  readonly kind: unknown;
  readonly status: {
    readonly authenticated?: unknown;
    readonly audiences?: unknown;
    readonly user?: { readonly username?: unknown } | null;
  } | null;
}

function refusalWords(status: 401 | 403): string {
  const why = status === 401 ? 'does not know the token in tokenFile' : 'does not let the shim review tokens';
  return `the API server ${why} (${status}): its service account needs the ClusterRole system:auth-delegator`;
}

function decode(part: string): Claims {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Claims;
}
