/** Callers by opaque tokens, which their provider is asked about (RFC 7662). */
import type { lookup as dnsLookup } from 'node:dns';
import type { ClaimRules } from '../config/claim-rules.ts';
import type { IntrospectionConfig } from '../config/introspection.ts';
import type { Refusal } from '../errors.ts';
import type { Caller } from '../types.ts';
import { createAnswers, type Answers, type AnswersDeps } from './answers.ts';
import { exchange, readJson, type Exchanged } from './fetch-json.ts';
import { invalid } from './unauthenticated.ts';
import { createClaimJudge, type Vouched, type VouchedToken } from './vouched.ts';

/** Seconds by which clocks may differ, as it is for issuers. */
const CLOCK_TOLERANCE = 30;

/** RFC 6749 section 5.2. */
const ABOUT_CLIENT: ReadonlySet<unknown> = new Set(['invalid_client', 'unauthorized_client']);

/** A token that was introspected. */
export interface IntrospectedToken extends VouchedToken {
  /** Name of the section. */
  readonly introspection: string;
}

/** Who was named by such a token. */
export type Introspected = Vouched<IntrospectedToken>;

/** What the introspector is made of. */
export interface IntrospectionDeps extends AnswersDeps {
  /** Resolves names (the world's DNS). */
  readonly lookup?: typeof dnsLookup | undefined;
  /** Whom the claims of a token name, or why nobody. */
  readonly callerFrom: (rules: ClaimRules, claims: Readonly<Record<string, unknown>>) => Caller | Refusal;
}

export type Introspector = Answers<IntrospectedToken>;

/**
 * A token is good where its answer has `active: true`, one of the audiences, and no time or issuer that speaks against
 * it. The endpoint's `exp` is believed to the millisecond.
 *
 * @param config the endpoint, and what its answers mean
 * @param deps what names callers, time, log and names of hosts
 * @returns the introspector; it has forgotten every token
 */
export async function createIntrospector(config: IntrospectionConfig, deps: IntrospectionDeps): Promise<Introspector> {
  const oauth = await import('oauth4webapi');
  const { name, endpoint, issuer, audience, client, clientId, ca, cache } = config;
  const who = `introspection ${name}`;
  const rules = JSON.stringify([name, endpoint, issuer, clientId, audience]);
  const callerFrom = deps.callerFrom.bind(undefined, config);
  const judge = await createClaimJudge<IntrospectedToken>({
    about: `a token of ${name}`,
    // Not every endpoint says whose token it is (RFC 7662 section 2.2).
    options: ({ iss }) => ({
      audience: [...audience],
      clockTolerance: CLOCK_TOLERANCE,
      ...(issuer !== undefined && iss !== undefined && { issuer }),
    }),
    lateness: 0,
    rules,
    callerFrom,
    complete: (token) => ({ ...token, introspection: name }),
  });
  const server = { issuer: issuer ?? endpoint, introspection_endpoint: endpoint };
  const self = { client_id: clientId };
  const authentication = 'secret' in client ? oauth.ClientSecretBasic(client.secret) : oauth.TlsClientAuth();
  const { cert, key } = 'secret' in client ? {} : client;

  return createAnswers<IntrospectedToken>(
    {
      who,
      cache,
      rules,
      callerFrom,
      async ask(asked, now, signal) {
        let no = 'it is not active';
        const response = await oauth.introspectionRequest(server, self, authentication, asked.raw, {
          additionalParameters: { token_type_hint: 'access_token' },
          [oauth.allowInsecureRequests]: true,
          [oauth.customFetch]: async (url, { method, headers, body }) => {
            const reach = { ca, cert, key, lookup: deps.lookup, signal };
            const answer = await exchange(url, { method, headers, body: body.toString() }, reach);
            if (!isAboutToken(answer)) return responseOf(answer);
            no = `the endpoint takes none of its kind (${answer.status})`;
            return Response.json({ active: false });
          },
        });
        const claims = await oauth.processIntrospectionResponse(server, self, response);
        if (!claims.active) return invalid(asked.hash, `a token of ${name}: ${no}`);
        const { token_type: type } = claims;
        // A token that is bound to a key (RFC 9449) is none for whoever holds it.
        if (type !== undefined && !(typeof type === 'string' && type.toLowerCase() === 'bearer')) {
          return invalid(asked.hash, `a token of ${name}: it is no bearer token`);
        }
        return judge(asked, claims, now);
      },
    },
    deps,
  );
}

/** Some take no JWTs, or none so long, though RFC 7662 section 2.2 has nothing of it: a login that failed, and no outage. */
function isAboutToken(answer: Exchanged): boolean {
  if (answer.status === 413) return true;
  return answer.status === 400 && !ABOUT_CLIENT.has(readJson(answer).error);
}

/** @throws Error for what is no answer about a token; oauth4webapi looks at the rest */
function responseOf(answer: Exchanged): Response {
  const { status, headers } = answer;
  if (status === 401)
    throw new Error('the endpoint refuses the client of the shim (401): clientId and what goes with it');
  if (status !== 200) throw new Error(`the answer is ${status}`);
  const type = String(headers['content-type'] ?? '').toLowerCase();
  // RFC 9701; a signed answer would need keys of its own.
  if (/^application\/(?:[a-z0-9.-]+\+)?jwt\b/.test(type))
    throw new Error('the answer is a JWT, which is not supported');
  return Response.json(readJson(answer));
}
