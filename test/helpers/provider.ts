/** Identity providers on loopback: a real one, and servers that misbehave as they are told. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { exportJWK, generateKeyPair, importJWK, SignJWT, type JWK, type JWTHeaderParameters } from 'jose';
import Provider from 'oidc-provider';
import type { IssuerConfig } from '../../src/config/issuers.ts';
import type { Pair } from './certificates.ts';

/** A private key, as a JWK with `kid` and `alg`. */
export type SigningKey = JWK & { readonly kid: string; readonly alg: string };

/** @returns a new key */
export async function makeKey(kid: string, alg: 'RS256' | 'ES256' = 'RS256'): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
}

/** @returns a token of these claims and no other, with the alg and kid of its key */
export async function signJwt(
  key: SigningKey,
  claims: Record<string, unknown>,
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
    .sign(await importJWK(key, key.alg));
}

/** @returns what of a key is published */
export function publicOf({ d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...published }: JWK): JWK {
  return published;
}

/** An issuer as the configuration has it: RS256 and ES256, for `urn:shim`, at most a day stale. */
export function issuerOf(issuer: string, keys: IssuerConfig['keys'], more: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    name: 'test',
    issuer,
    audience: ['urn:shim'],
    header: 'authorization',
    keys,
    algorithms: ['RS256', 'ES256'],
    clockTolerance: 0,
    maxStale: 86_400_000,
    scopes: { claim: ['scope'], ceiling: ['operator.read'] },
    template: ['', ['sub'], ''],
    match: [],
    policy: { allowHeaders: [], onForbiddenHeader: 'drop' },
    ...more,
  };
}

/** A server whose answers can be changed while it runs. */
export interface Endpoint {
  /** Without a path. */
  readonly url: string;
  /** Every request so far. */
  readonly requests: readonly IncomingMessage[];
  answer: RequestListener;
  /** How often a path was asked for. */
  hits(path: string): number;
  /** Refuses connections from now on, and ends those that are there. */
  stop(): Promise<void>;
  /** Listens again, on the same port. */
  start(): Promise<void>;
}

/**
 * @param t it ends with this test
 * @param answer what it says at first
 * @param tls its certificate, for https; with `clientCa` it asks for one of the client
 * @returns the server, listening on 127.0.0.1
 */
export async function startEndpoint(
  t: Test,
  answer: RequestListener,
  tls?: Pair & { readonly clientCa?: string },
): Promise<Endpoint> {
  const requests: IncomingMessage[] = [];
  const listener: RequestListener = (request, response) => {
    requests.push(request);
    endpoint.answer(request, response);
  };
  const client = tls?.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: false };
  const server = tls ? createTlsServer({ cert: tls.cert, key: tls.key, ...client }, listener) : createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const endpoint: Endpoint = {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    answer,
    hits: (path) => requests.filter(({ url }) => url === path).length,
    async stop() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
    async start() {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
  t.teardown(() => endpoint.stop());
  return endpoint;
}

/** @returns a listener that answers each path with its JSON, others with 404 */
export function jsonAt(
  paths: Readonly<Record<string, unknown>>,
  headers: Record<string, string> = {},
): RequestListener {
  return ({ url = '' }, response) => {
    const body = paths[url];
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body ?? {}));
  };
}

/** Ways to answer that are no key set, by name. */
export const MISBEHAVIOURS: Readonly<Record<string, RequestListener>> = {
  'a page in HTML': (_, response) => void response.end('<!doctype html><title>secret-in-a-page</title>'),
  'a redirect': (_, response) => void response.writeHead(302, { location: '/elsewhere' }).end(),
  '10 MB': (_, response) => void response.end(`{"keys":[],"padding":"${'x'.repeat(10_000_000)}"}`),
  '10 MB without a length': (_, response) => {
    response.write('{"keys":[],"padding":"');
    response.end(`${'x'.repeat(10_000_000)}"}`);
  },
  'status 500': (_, response) => void response.writeHead(500).end('{"keys":[]}'),
  'a connection that ends': (_, response) => void response.destroy(),
  'a body that ends early': (_, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('{"keys":', () => response.destroy());
  },
  'a list': (_, response) => void response.end('[]'),
  'keys that are no list': (_, response) => void response.end('{"keys":{}}'),
  'no keys': (_, response) => void response.end('{"keys":[]}'),
  '101 keys': (_, response) => void response.end(JSON.stringify({ keys: Array(101).fill({ kty: 'RSA' }) })),
  'two lists of keys': (_, response) => void response.end('{"keys":[],"keys":[]}'),
};

/** A certified OpenID provider with one client, which gets tokens for itself, and one that has a certificate. */
export interface TestProvider extends Endpoint {
  /** Publishes these keys, and signs with the first of each algorithm. */
  rotate(keys: readonly SigningKey[]): void;
  /**
   * @param resource whom the token is for; what begins with `urn:opaque` gets no JWT
   * @param alg it is signed with
   * @returns an access token by the client credentials grant, valid for an hour
   */
  token(resource: string, alg?: 'RS256' | 'ES256'): Promise<string>;
  /** Asks the introspection or the revocation endpoint about a token, as the client. */
  ask(path: '/token/introspection' | '/token/revocation', token: string): Promise<Response>;
}

export const CLIENT = { id: 'agent', secret: 'client-secret-of-the-agent' } as const;
/** Known by the common name of its certificate, which is its id. */
export const TLS_CLIENT = 'shim-with-a-certificate';

/**
 * @param t it ends with this test
 * @param keys its first ones
 * @returns the provider on loopback; its issuer is its URL
 */
export async function startProvider(t: Test, keys: readonly SigningKey[]): Promise<TestProvider> {
  const endpoint = await startEndpoint(t, (_, response) => void response.writeHead(503).end());
  const adapter = memory();
  const rotate: TestProvider['rotate'] = (published) => {
    endpoint.answer = new Provider(endpoint.url, configuration(published, adapter)).callback();
  };
  rotate(keys);
  const post = (path: string, fields: Record<string, string>): Promise<Response> =>
    fetch(endpoint.url + path, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}` },
      body: new URLSearchParams(fields),
    });
  return Object.assign(endpoint, {
    rotate,
    async token(resource: string, alg = 'RS256') {
      const response = await post('/token', {
        grant_type: 'client_credentials',
        scope: 'runs:write runs:read',
        resource: `${resource}:${alg}`,
      });
      const { access_token: token } = (await response.json()) as { readonly access_token: string };
      return token;
    },
    ask: (path: string, token: string) => post(path, { token }),
  });
}

interface OnTls {
  readonly socket: TLSSocket;
}

function configuration(keys: readonly SigningKey[], adapter: object): object {
  return {
    adapter,
    jwks: { keys },
    cookies: { keys: ['a key for cookies that nobody gets'] },
    scopes: ['runs:read', 'runs:write'],
    ttl: { ClientCredentials: 3_600 },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: TLS_CLIENT,
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_subject_dn: `CN=${TLS_CLIENT}`,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    clientAuthMethods: ['client_secret_basic', 'tls_client_auth'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        getCertificate: ({ socket }: OnTls) => socket.getPeerX509Certificate?.()?.toString(),
        certificateAuthorized: ({ socket }: OnTls) => socket.authorized,
        certificateSubjectMatches: ({ socket }: OnTls, _: string, expected: string) =>
          socket.getPeerX509Certificate()?.subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_: unknown, resource: string) => {
          const [, audience, alg] = /^(.*):([^:]*)$/.exec(resource) ?? [];
          return {
            scope: 'runs:read runs:write',
            audience,
            ...(audience?.startsWith('urn:opaque')
              ? { accessTokenFormat: 'opaque' }
              : { accessTokenFormat: 'jwt', jwt: { sign: { alg } } }),
          };
        },
      },
    },
  };
}

/** What the provider keeps, also while its keys change. */
function memory(): object {
  const kept = new Map<string, unknown>();
  return class {
    readonly model: string;

    constructor(model: string) {
      this.model = model;
    }

    async upsert(id: string, payload: unknown): Promise<void> {
      kept.set(`${this.model}:${id}`, payload);
    }

    async find(id: string): Promise<unknown> {
      return kept.get(`${this.model}:${id}`);
    }

    async destroy(id: string): Promise<void> {
      kept.delete(`${this.model}:${id}`);
    }
  };
}
