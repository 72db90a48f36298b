/** Callers that are known by a client certificate, and those that call for others. */
import t from 'tap';
import { digest, faultsOf, loadText, textOf } from '../helpers/configuration.ts';

const HASH = `sha256:${digest('a')}`;
const one = (rest: string): string => textOf({ callers: `[{ name: a, ${rest} }]` });
const SHIM = 'onBehalf: true, certificates: [{ dns: a.example }]';

void t.test('callers that are known by a certificate', async (t) => {
  const { config, warnings } = await loadText(
    textOf({
      callers: `
  - name: web
    scopes: [operator.read]
    certificates:
      - { uri: "spiffe://Cluster/ns/app/sa/Web" }
      - { uri: "urn:web:1" }
      - { dns: Web.Example }
      - { fingerprint: sha256:${'AB:'.repeat(31)}AB }
  - { name: other, scopes: [operator.read], certificates: [{ uri: "spiffe://cluster/ns/app/sa/Web" }], onBehalf: false }
  - name: shim
    onBehalf: true
    certificates: [{ dns: shim.example }]
    scopes: [operator.write]
    agent: main
    sessionPrefix: "agent:main:a:"
  - { name: nobody, scopes: [operator.read], certificates: [] }`,
    }),
  );
  const more = { tokens: [], allowHeaders: [], onForbiddenHeader: 'drop', scopes: ['operator.read'] };
  t.strictSame(config.callers, [
    {
      ...more,
      name: 'web',
      certificates: [
        { uri: 'spiffe://Cluster/ns/app/sa/Web' },
        { uri: 'urn:web:1' },
        { dns: 'web.example' },
        { fingerprint: 'ab'.repeat(32) },
      ],
    },
    { ...more, name: 'other', certificates: [{ uri: 'spiffe://cluster/ns/app/sa/Web' }] },
    {
      ...more,
      name: 'shim',
      certificates: [{ dns: 'shim.example' }],
      onBehalf: true,
      scopes: ['operator.write'],
      onForbiddenHeader: 'refuse',
      agent: 'main',
      sessionPrefix: 'agent:main:a:',
    },
    { ...more, name: 'nobody', certificates: [] },
  ]);
  t.same(
    warnings.map(({ path, message }) => `${path}: ${message}`),
    [
      'callers[0].certificates: listen.tls.clientCa is not set: nobody can show a certificate of "web"',
      'callers[1].certificates: listen.tls.clientCa is not set: nobody can show a certificate of "other"',
      'callers[2].certificates: listen.tls.clientCa is not set: nobody can show a certificate of "shim"',
      'callers[3]: "nobody" has neither token nor certificate: nobody can call by this name',
    ],
  );
});

const REFUSED: readonly { name: string; text: string; says: RegExp }[] = [
  {
    name: 'certificate without kind',
    text: one('certificates: [web.example]'),
    says: /^2:37 callers\[0\].certificates\[0\]: expected a certificate with exactly one key/,
  },
  ...['{}', '{ dns: a.example, uri: "x:y" }', '{ cn: web }'].map((certificate) => ({
    name: `certificate ${certificate}`,
    text: one(`certificates: [${certificate}]`),
    says: /^2:37 callers\[0\].certificates\[0\]: expected a certificate with exactly one key/,
  })),
  ...['/ns/web', 'spiffe:', '//a/b', 'spiffe://a b', 'spiffe://ä', `spiffe://${'a'.repeat(2040)}`].map((uri) => ({
    name: `uri ${uri.slice(0, 14)}`,
    text: one(`certificates: [{ uri: "${uri}" }]`),
    says: /^2:44 callers\[0\].certificates\[0\].uri: expected a whole URI such as spiffe:/,
  })),
  ...['*.example', '', '10.0.0.7', 'a_.b..c', 'a.example.', 'a b'].map((dns) => ({
    name: `dns "${dns}"`,
    text: one(`certificates: [{ dns: "${dns}" }]`),
    says: /^2:44 callers\[0\].certificates\[0\].dns: expected a DNS name such as web.example, without wildcard$/,
  })),
  ...[digest('a'), `sha256:${'a'.repeat(63)}`, `SHA256:${digest('a')}`].map((fingerprint) => ({
    name: `fingerprint ${fingerprint.slice(0, 9)}`,
    text: one(`certificates: [{ fingerprint: "${fingerprint}" }]`),
    says: /^2:52 callers\[0\].certificates\[0\].fingerprint: expected "sha256:" and the SHA-256 of the certificate/,
  })),
  {
    name: 'one certificate twice',
    text: one('certificates: [{ dns: a.example }, { dns: A.Example }]'),
    says: /^2:57 callers\[0\].certificates\[1\]: this certificate is listed already, by "a"$/,
  },
  {
    name: 'a certificate of another',
    text: textOf({
      callers: `[{ name: a, certificates: [{ fingerprint: "sha256:${'AB:'.repeat(31)}AB" }] }, { name: b, certificates: [{ fingerprint: "sha256:${'ab'.repeat(32)}" }] }]`,
    }),
    says: /callers\[1\].certificates\[0\]: this certificate is listed already, by "a"$/,
  },
  {
    name: 'onBehalf without a certificate',
    text: one('onBehalf: true'),
    says: /^2:22 callers\[0\].onBehalf: a shim that calls for others is known by its certificate: it needs certificates$/,
  },
  {
    name: 'onBehalf with an empty list',
    text: one('onBehalf: true, certificates: []'),
    says: /callers\[0\].onBehalf: .* it needs certificates$/,
  },
  {
    name: 'onBehalf with a token',
    text: one(`${SHIM}, tokens: [{ hash: "${HASH}" }]`),
    says: /callers\[0\].tokens: a caller with onBehalf has no tokens: whoever held one could name any caller$/,
  },
  {
    name: 'onBehalf that drops headers',
    text: one(`${SHIM}, onForbiddenHeader: drop`),
    says: /callers\[0\].onForbiddenHeader: with onBehalf it is refuse: a header that is dropped could be the one that narrows$/,
  },
  {
    name: 'onBehalf that only reports',
    text: one(`${SHIM}, unsafeReportOnly: { until: 2026-12-20 }`),
    says: /callers\[0\].unsafeReportOnly: a caller with onBehalf cannot have it: it would lift the scopes of every caller behind it$/,
  },
  {
    name: 'onBehalf with a tunnel',
    text: one(`${SHIM}, websocket: tunnel, unsafeTunnel: true, scopes: [operator.admin]`),
    says: /callers\[0\].websocket: a caller with onBehalf cannot have a tunnel: the shim cannot tell its callers apart in there$/,
  },
];

void t.test('refused', async (t) => {
  for (const { name, text, says } of REFUSED) {
    await t.test(name, async (t) => {
      const faults = await faultsOf(text);
      t.equal(faults.length, 1, faults.join('\n'));
      t.match(faults[0], says);
    });
  }
});
