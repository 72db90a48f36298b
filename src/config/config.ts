/** The running configuration: validated, resolved, deeply readonly. Nothing downstream parses or checks again. */
import type { BlockList } from 'node:net';
import type { Caller, Route } from '../types.ts';
import type { AuditConfig } from './audit.ts';
import type { IntrospectionConfig } from './introspection.ts';
import type { IssuerConfig } from './issuers.ts';

/** How the gateway itself authenticates (`gateway.auth.mode` of its own configuration). */
export type GatewayAuth =
  | { readonly mode: 'token' | 'password'; readonly secret: string }
  | { readonly mode: 'none' }
  | {
      readonly mode: 'trusted-proxy';
      /** The header that carries the caller's name, as it is to be written. */
      readonly userHeader: string;
      /** Further headers that the gateway wants to see: name, value. */
      readonly requiredHeaders: readonly (readonly [string, string])[];
      /** What stands for a caller on loopback or a unix socket in `X-Forwarded-For`. */
      readonly clientAddress: string;
      /** The gateway's own password, with which WebSockets of this machine are let in without a proxy's headers. */
      readonly password?: string;
    }
  /** Another shim, which knows this one by its client certificate. */
  | { readonly mode: 'shim' };

/** Texts of files in PEM; every one was read and found sound. */
export interface ListenTls {
  /** The certificate and its intermediates. */
  readonly cert: string;
  readonly key: string;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Asks for client certificates; `undefined`: none is asked for. */
  readonly client?: {
    /** Whom client certificates must come from. */
    readonly ca: string;
    /** `accept`: a connection without one goes on, and needs a bearer. */
    readonly auth: 'require' | 'accept';
  };
  /** Open connections are looked at so often, in milliseconds, whether their certificate is still trusted. */
  readonly recheck: number;
}

/** How the gateway's TLS is verified, and what the shim shows there. Texts of files in PEM. */
export interface GatewayTls {
  /** Nobody else is trusted; `undefined`: the authorities that Node knows, or `fingerprint` alone. */
  readonly ca?: string;
  /** The shim's own certificate and key: both, or neither. */
  readonly cert?: string;
  readonly key?: string;
  /** What the certificate must be for, in place of the host in the URL: a DNS name, or a SPIFFE id. */
  readonly serverName?: string;
  /** SHA-256 of the one certificate that is taken, 64 lower-case hex digits. */
  readonly fingerprint?: string;
}

/** A certificate file in use. */
export interface CertificateInUse {
  /** Where the configuration names it: `listen.tls.cert`. */
  readonly key: string;
  /** When the first certificate in it ends, milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The path of a unix socket and its permission bits. */
export interface SocketAddress {
  readonly socket: string;
  readonly mode: number;
}

export interface ListenConfig {
  /** Where callers connect. */
  readonly address: Address | SocketAddress;
  readonly tls?: ListenTls;
  /** `bearer`: beside a certificate it is the bearer that names the caller. */
  readonly credentials: 'all' | 'bearer';
  /** Names that `Host` may have: lower case, without port or brackets. */
  readonly hosts: ReadonlySet<string>;
  /** Web origins that may call, as they stand in `Origin`. */
  readonly origins: ReadonlySet<string>;
  /** Whether `/health` and `/healthz` of the gateway are open without a credential. */
  readonly health: boolean;
  /** Peers whose `X-Forwarded-For` is believed; `undefined`: none. */
  readonly trustedProxies: BlockList | undefined;
  readonly unsafeListenPlaintext: boolean;
  /** Tells OAuth clients of the issuers (RFC 9728); `origin`: as they call it, where that is not what `Host` says. */
  readonly resourceMetadata?: { readonly origin?: string };
  /** Where WebSocket clients that cannot set a header may show their token. */
  readonly websocket: { readonly firstFrameToken: boolean; readonly subprotocolToken: boolean };
}

/** Where operators look. Beyond loopback it has a token, or asks for client certificates, or both. */
export interface AdminConfig {
  readonly address: Address | SocketAddress;
  /** Names that `Host` may have: lower case, without port or brackets. */
  readonly hosts: ReadonlySet<string>;
  /** Where it asks for client certificates, it requires them. */
  readonly tls?: ListenTls;
  /** SHA-256 of the token that requests must show, 64 lower-case hex digits. */
  readonly tokenHash?: string;
  readonly unsafeListenPlaintext: boolean;
}

/** Where a Redis is, and as whom the shim uses it. */
export type RedisAddress =
  | { readonly path: string }
  | {
      /** An address without brackets, or a name. */
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      /** Number of the logical database. */
      readonly db: number;
      readonly username?: string;
      readonly password?: string;
    };

/** Where the requests of all replicas are counted together. */
export interface LimitStore {
  readonly redis: RedisAddress;
  /** Without the store each replica counts alone, or callers with such a limit are refused. */
  readonly onFailure: 'local' | 'refuse';
}

/** Where device identities are kept; in memory, each start and each replica has others. */
export type DeviceStoreConfig = { readonly folder: string } | 'memory';

export interface Config {
  readonly listen: ListenConfig;
  readonly gateway: {
    /** Scheme, host and port: `http://127.0.0.1:18789`. */
    readonly origin: string;
    readonly tls?: GatewayTls;
    /** Whether its address may be beyond loopback: only over TLS, and where one side proves to the other who it is. */
    readonly beyondLoopback: boolean;
    readonly auth: GatewayAuth;
    /** Where the device identities of callers are kept: a folder, as relative as the configuration file's own path. */
    readonly deviceStore?: DeviceStoreConfig;
  };
  readonly callers: readonly Caller[];
  /** Whose JWTs name callers too. */
  readonly issuers: readonly IssuerConfig[];
  /** Who is asked about tokens that are neither in the table nor an issuer's. */
  readonly introspection?: IntrospectionConfig;
  readonly certificates: readonly CertificateInUse[];
  /** What `routes:` adds to the default table, after `closedRoutes` left it. */
  readonly routes: readonly Route[];
  /** Default routes that the configuration closes: `METHOD template`. */
  readonly closedRoutes: ReadonlySet<string>;
  readonly limits: {
    /** Bytes. */
    readonly body: number;
    /** Bytes. */
    readonly headerBytes: number;
    /** `undefined`: as many as the file descriptors are enough for, up to a number of the shim's own. */
    readonly connections: number | undefined;
    /** `undefined`: requests are counted in memory. */
    readonly store?: LimitStore;
  };
  /** Milliseconds; 0 is off. */
  readonly stream: {
    readonly heartbeat: number;
    readonly gatewayIdle: number;
    /**
     * Whether a credential that expires ends the streams that it opened; `undefined`: all but HTTP responses of an
     * issuer's token.
     */
    readonly endAtExpiry: boolean | undefined;
  };
  /** Milliseconds. */
  readonly drain: { readonly delay: number; readonly timeout: number };
  /** Where audit lines go; `undefined`: nowhere. */
  readonly audit: AuditConfig | undefined;
  readonly admin: AdminConfig | undefined;
  /** Where the kubelet asks: answers of a status alone. */
  readonly probes: Address | undefined;
  /** The unix socket on which a local user of the same account can shut the shim down. */
  readonly control: { readonly socket: string } | undefined;
}

/** One fault or doubt of a configuration. `line` and `column` count from 1. */
export interface ConfigIssue {
  readonly level: 'error' | 'warning';
  readonly message: string;
  /** Where in the tree, as people write it: `callers[0].scopes[1]`. Empty for the document. */
  readonly path: string;
  readonly line?: number;
  readonly column?: number;
  /** The file, where it is not the configuration itself. */
  readonly file?: string;
  /** A fault of files that a reload leaves as they were before: what else is new is taken. */
  readonly kept?: true;
}

/** A configuration that cannot run. `issues` holds every fault that was found. */
export class ConfigError extends Error {
  readonly issues: readonly ConfigIssue[];
  readonly file: string;

  constructor(file: string, issues: readonly ConfigIssue[]) {
    super(issues.map((issue) => formatIssue(file, issue)).join('\n'));
    this.name = 'ConfigError';
    this.file = file;
    this.issues = issues;
  }
}

/**
 * @param file the configuration file as the user named it
 * @param issue one fault or doubt
 * @returns `shim.config.yaml:12:5 callers[0].scopes[1]: unknown scope …`
 */
export function formatIssue(file: string, issue: ConfigIssue): string {
  const name = issue.file ?? file;
  const at = issue.line === undefined ? name : `${name}:${issue.line}:${issue.column ?? 1}`;
  return `${at}${issue.path === '' ? '' : ` ${issue.path}`}: ${issue.message}`;
}
