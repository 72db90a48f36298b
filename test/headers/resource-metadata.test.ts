import t from 'tap';
import type { ListenConfig } from '../../src/config/config.ts';
import { asksForMetadata, createResourceMetadata } from '../../src/headers/resource-metadata.ts';
import { testConfig } from '../helpers/config.ts';
import { issuersOf } from '../helpers/issuers.ts';

const PATH = '/.well-known/oauth-protected-resource';
const TLS = { cert: '', key: '', minVersion: 'TLSv1.2', recheck: 0 } as const;

const section = (scopes: string): string => `
issuers:
  - name: corp
    issuer: https://id.example
    audience: shim
    jwksUri: https://id.example/keys
    scopes: ${scopes}`;

async function metadataOf(listen: Partial<ListenConfig>, text?: string) {
  const { issuers, faults } = text === undefined ? { issuers: [], faults: [] } : await issuersOf(text);
  if (faults.length > 0) throw new Error(faults.join());
  return createResourceMetadata(testConfig({ listen, issuers }));
}

void t.test('none is told unless it is asked for', async (t) => {
  t.equal(await metadataOf({}, section('{ claim: scope, ceiling: [operator.read] }')), undefined);
});

void t.test('the resource is the origin that the client called', async (t) => {
  const plain = await metadataOf({ resourceMetadata: {} });
  t.equal(plain?.urlFor('localhost:18780'), `http://localhost:18780${PATH}`);
  t.equal(
    plain?.documentFor('localhost:18780'),
    '{"resource":"http://localhost:18780","bearer_methods_supported":["header"]}',
    'without a provider nobody is named',
  );
  const tls = await metadataOf({ resourceMetadata: {}, tls: TLS });
  t.equal(tls?.urlFor('agents.example'), `https://agents.example${PATH}`);
  t.match(tls?.documentFor('agents.example'), '"resource":"https://agents.example"');
});

void t.test('an origin that is configured counts, whatever the client called', async (t) => {
  const metadata = await metadataOf({ resourceMetadata: { origin: 'https://agents.example' } });
  t.equal(metadata?.urlFor('10.0.0.1:18780'), `https://agents.example${PATH}`);
  t.match(metadata?.documentFor('10.0.0.1:18780'), '"resource":"https://agents.example"');
});

void t.test('whose tokens are taken, and what can be asked for there', async (t) => {
  const scopes = await metadataOf(
    { resourceMetadata: {} },
    section('{ claim: scope, map: { runs:read: [operator.read] }, ceiling: [operator.read] }'),
  );
  t.equal(
    scopes?.documentFor('h'),
    '{"resource":"http://h","authorization_servers":["https://id.example"],"scopes_supported":["runs:read"],' +
      '"bearer_methods_supported":["header"]}',
  );
  const roles = await metadataOf({ resourceMetadata: {} }, section('{ claim: roles, ceiling: [operator.read] }'));
  t.equal(
    roles?.documentFor('h'),
    '{"resource":"http://h","authorization_servers":["https://id.example"],"bearer_methods_supported":["header"]}',
    'roles are no scopes that can be asked for',
  );
});

void t.test('the document is asked for exactly', async (t) => {
  const asks = (method: string, target: string): boolean =>
    asksForMetadata({ method, target, httpVersion: '1.1', rawHeaders: [], peer: undefined });
  t.equal(asks('GET', PATH), true);
  t.equal(asks('HEAD', PATH), true);
  for (const method of ['POST', 'OPTIONS', 'get', '']) t.equal(asks(method, PATH), false, method);
  for (const target of ['/', `${PATH}/`, `${PATH}?x`, `${PATH}/v1`, PATH.toUpperCase(), PATH.slice(1)])
    t.equal(asks('GET', target), false, target);
});
