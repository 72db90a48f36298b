/** The page about clients, before the stand-in; test/gateway runs it before real gateways. */
import t from 'tap';
import { clientCases, PACKAGES, TRIED } from '../helpers/clients.ts';
import { codeOf, section, textOf } from '../helpers/pages.ts';
import { startSockets } from '../helpers/sockets.ts';
import { startStack, TOKENS } from '../helpers/stack.ts';

const { reader, writer } = TOKENS;

const { url } = await startSockets(t);
await clientCases(t, { url, reader, writer, reply: 'Hello from OpenClaw.', finishes: false });

void t.test('the table of what was tried has what is run, in the version that is installed', async (t) => {
  const rows = [
    ...section(textOf('docs/clients.md'), 'What was tried').matchAll(/^\| \[(.+?)\]\(.*?\) +\| (.+?) +\|/gm),
  ];
  const byName = (a = '', b = ''): number => a.localeCompare(b);
  t.same(rows.map(([, name]) => name).toSorted(byName), TRIED.toSorted(byName));
  for (const [, name = '', version] of rows) {
    const packages = PACKAGES[name];
    if (!packages) continue;
    const installed = packages.map((one) => {
      const { version: found } = JSON.parse(textOf(`node_modules/${one}/package.json`)) as { version: string };
      return `${one} ${found}`;
    });
    t.equal(version, installed.join(', '));
  }
});

void t.test('the headers that a page may send are those of the preflight', async (t) => {
  const origin = 'https://app.example';
  const { url } = await startStack(t, { listen: `{ port: 0, origins: ["${origin}"] }` });
  const { headers } = await fetch(`${url}/v1/models`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'GET' },
  });
  const allowed = (headers.get('access-control-allow-headers') ?? '').split(', ');
  const [, sentence = ''] = /^(.*?With any)/ms.exec(section(textOf('docs/clients.md'), 'In a browser')) ?? [];
  const named = codeOf(sentence.slice(sentence.indexOf('A preflight'))).map((name) => name.toLowerCase());
  const parts = named.flatMap((name) => (name.startsWith('-') ? [`x-openclaw${name}`] : [name]));
  const ours = allowed.filter((name) => !name.startsWith('x-stainless-'));
  t.same(
    parts.filter((name) => !['openai', 'x-stainless-…'].includes(name)).toSorted((a, b) => a.localeCompare(b)),
    ours.toSorted((a, b) => a.localeCompare(b)),
  );
  t.not(ours.length, allowed.length);
});
