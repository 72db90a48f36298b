/** `issuers`: whose JWTs are taken, and what their claims say of a caller. */
import type { Caller, Scope } from '../types.ts';

/** Where an issuer's keys come from. URLs are https, or on loopback. */
export type IssuerKeys =
  | { readonly kind: 'jwksUri'; readonly url: string }
  /** OpenID Connect Discovery 1.0, or RFC 8414; the URL of the document. */
  | { readonly kind: 'discovery'; readonly url: string }
  /** A JWK Set that was read from a file: its text, found to be one. */
  | { readonly kind: 'file'; readonly jwks: string }
  /** For HS256 alone. */
  | { readonly kind: 'secret'; readonly secret: string };

/** A claim within claims: `["realm_access", "roles"]`. */
export type ClaimPath = readonly string[];

/** One issuer. Times are milliseconds. */
export interface IssuerConfig {
  /** 1 to 32 of a-z 0-9 -, beginning with a letter: callers of this issuer are called `name:…`. */
  readonly name: string;
  /** `iss`, byte for byte. */
  readonly issuer: string;
  /** At least one; `aud` must have one of them. */
  readonly audience: readonly string[];
  readonly keys: IssuerKeys;
  /** Whom the TLS of its URLs is verified against, PEM; `undefined`: the authorities that Node knows. */
  readonly ca?: string;
  /** A bearer that its key set wants to be asked with (a Kubernetes API server). */
  readonly bearer?: string;
  /** JWS algorithms (RFC 7518 section 3.1); asymmetric ones, but for `secret`. */
  readonly algorithms: readonly string[];
  readonly clockTolerance: number;
  /** `typ` of the header, such as `at+jwt` (RFC 9068 section 2.1); compared without case and `application/`. */
  readonly requireTyp?: string;
  /** For how long keys are used after the provider was last heard of. */
  readonly maxStale: number;
  readonly scopes: {
    readonly claim: ClaimPath;
    /** What each value grants; without a map values are names of scopes themselves. */
    readonly map?: ReadonlyMap<string, readonly Scope[]>;
    /** What any caller of this issuer may have at most. */
    readonly ceiling: readonly Scope[];
  };
  /** Texts and claims in turn: `["", ["sub"], ""]` for `{sub}`. */
  readonly template: readonly (string | ClaimPath)[];
  /** Claims that must have these values: a text, or a list with it. */
  readonly match: readonly { readonly claim: ClaimPath; readonly values: readonly string[] }[];
  /** What all callers of this issuer have in common: limits, headers, WebSocket. */
  readonly policy: Omit<Caller, 'name' | 'tokens' | 'certificates' | 'onBehalf' | 'scopes'>;
}
