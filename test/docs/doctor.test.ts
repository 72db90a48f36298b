/** The page of the doctor explains what it finds, and nothing else; the tests find all of it. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { FINDINGS } from '../../src/doctor/finding.ts';
import { codeOf, textOf } from '../helpers/pages.ts';

const PAGE = textOf('docs/doctor.md');
const IDS = Object.keys(FINDINGS);
/** What requests are refused for (`gateway_refused`). */
const [, union = ''] = /^export type Finding =(.*?);$/ms.exec(textOf('src/gateway/blame.ts')) ?? [];
const REFUSED = [...union.matchAll(/'(\w+)'/g)].map(([, name = '']) => name);
/** To show a device could leave a record. */
const NEVER_FOUND = 'device_refused';

const entries = PAGE.split(/^### /m).slice(1);

void t.test('one section for each finding, and for each that a message names', async (t) => {
  const headings = entries.map((text) => text.slice(0, text.indexOf('\n')));
  t.same(headings.toSorted(), [...IDS, NEVER_FOUND].map((id) => `\`${id}\``).toSorted());
  t.ok(REFUSED.length >= 9);
  for (const id of REFUSED) t.ok(id === NEVER_FOUND || IDS.includes(id), id);
});

void t.test('each says how grave it is, and a fault or a warning what to write or to type', async (t) => {
  for (const [id, severity] of Object.entries(FINDINGS)) {
    const text = entries.find((one) => one.startsWith(`\`${id}\`\n`)) ?? '';
    t.match(text, new RegExp(`\\b${severity}\\b`), id);
    if (severity !== 'fault' && severity !== 'warning') continue;
    const body = text.slice(text.indexOf('\n'));
    t.ok(codeOf(body).length > 0 || /renew|raise|take them away|the message|its log/i.test(body), id);
  }
});

void t.test('every finding is produced by a test', async (t) => {
  const folder = 'test/doctor';
  const texts = readdirSync(folder).map((name) => textOf(`${folder}/${name}`));
  for (const id of IDS) t.ok(texts.some((text) => text.includes(`'${id}'`)), id); // prettier-ignore
});
