/** `listen.resourceMetadata`: where OAuth clients learn whose tokens are taken here (RFC 9728). Pure. */
import { authorizationServers, scopesToAskFor } from '../config/authorization-servers.ts';
import type { Config } from '../config/config.ts';
import type { RequestFacts } from '../types.ts';

/** RFC 9728 section 3; the resource is the whole origin. */
const PATH = '/.well-known/oauth-protected-resource';

/** Built for a host that is served here. */
export interface ResourceMetadata {
  /** @returns the value of `resource_metadata` in `WWW-Authenticate` (RFC 9728 section 5.1) */
  readonly urlFor: (host: string) => string;
  /** @returns the document, JSON (RFC 9728 section 2) */
  readonly documentFor: (host: string) => string;
}

/**
 * @param config listener and providers
 * @returns the metadata, or `undefined` where none is to be told
 */
export function createResourceMetadata(
  config: Pick<Config, 'listen' | 'issuers' | 'introspection'>,
): ResourceMetadata | undefined {
  const { listen } = config;
  if (!listen.resourceMetadata) return undefined;
  const { origin } = listen.resourceMetadata;
  const scheme = listen.tls ? 'https' : 'http';
  const servers = authorizationServers(config);
  const scopes = scopesToAskFor(config);
  const about = {
    ...(servers.length > 0 && { authorization_servers: servers }),
    ...(scopes.length > 0 && { scopes_supported: scopes }),
    bearer_methods_supported: ['header'],
  };
  const originOf = (host: string): string => origin ?? `${scheme}://${host}`;
  return {
    urlFor: (host) => `${originOf(host)}${PATH}`,
    documentFor: (host) => JSON.stringify({ resource: originOf(host), ...about }),
  };
}

/**
 * @param facts of a request
 * @returns whether it asks for the metadata: exactly, so that nothing of a caller's widens it
 */
export function asksForMetadata({ method, target }: RequestFacts): boolean {
  return (method === 'GET' || method === 'HEAD') && target === PATH;
}
