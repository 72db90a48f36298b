/** The `audit` section, one fault at a time. */
import t from 'tap';
import { buildAudit, rawAudit, type AuditConfig } from '../../src/config/audit.ts';
import { createReport, formatPath } from '../../src/config/report.ts';

function build(raw: unknown): { audit: AuditConfig | undefined; faults: string[] } {
  const report = createReport();
  const parsed = rawAudit.safeParse(raw);
  const issues = (parsed.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
  const audit = parsed.success ? buildAudit(parsed.data, 'conf/shim.yaml', { home: '/home/op' }, report) : undefined;
  return {
    audit,
    faults: [...issues, ...report.findings.map(({ path, message }) => `${formatPath(path)}: ${message}`)],
  };
}

const MIB = 1024 * 1024;

void t.test('what it becomes', async (t) => {
  const file = { kind: 'file', path: 'conf/audit.jsonl', maxSize: 64 * MIB, keep: 5 };
  const GOOD: readonly [unknown, AuditConfig][] = [
    [{ file: 'audit.jsonl' }, { target: { ...file, kind: 'file' }, required: false }],
    [
      { file: '/var/log/audit.jsonl', maxSize: '1MiB', keep: 1, required: true },
      { target: { kind: 'file', path: '/var/log/audit.jsonl', maxSize: MIB, keep: 1 }, required: true },
    ],
    [
      { file: '~/audit.jsonl', maxSize: 0 },
      { target: { kind: 'file', path: '/home/op/audit.jsonl', maxSize: 0, keep: 5 }, required: false },
    ],
    [
      { file: 'a', maxSize: 65_536 },
      { target: { kind: 'file', path: 'conf/a', maxSize: 65_536, keep: 5 }, required: false },
    ],
    [
      { stdout: true, required: true },
      { target: { kind: 'stdout' }, required: true },
    ],
  ];
  for (const [raw, expected] of GOOD) t.strictSame(build(raw), { audit: expected, faults: [] }, JSON.stringify(raw));
  t.equal(buildAudit(undefined, 'shim.yaml', { home: '/' }, createReport()), undefined);
});

const BAD: readonly { name: string; raw: unknown; says: RegExp }[] = [
  { name: 'no target', raw: {}, says: /^audit: expected where the audit goes/ },
  { name: 'required alone', raw: { required: true }, says: /^audit: expected where the audit goes/ },
  { name: 'two targets', raw: { file: 'a', stdout: true }, says: /^audit.stdout: .* either to a file or to stdout/ },
  { name: 'an empty path', raw: { file: '' }, says: /^file: expected the path of a file/ },
  { name: 'stdout: false', raw: { stdout: false }, says: /^stdout: only "stdout: true"/ },
  { name: 'stdout, rotated', raw: { stdout: true, maxSize: '1MiB' }, says: /^audit.maxSize: only a file is rotated/ },
  { name: 'stdout, kept', raw: { stdout: true, keep: 2 }, says: /^audit.keep: only a file is rotated/ },
  { name: 'a tiny file', raw: { file: 'a', maxSize: '63KiB' }, says: /^audit.maxSize: expected at least 64KiB, or 0/ },
  { name: 'a size in MB', raw: { file: 'a', maxSize: '64MB' }, says: /^maxSize: expected a size/ },
  { name: 'a negative size', raw: { file: 'a', maxSize: -1 }, says: /^maxSize: expected a size/ },
  { name: 'nothing kept', raw: { file: 'a', keep: 0 }, says: /^keep: expected a count from 1 to 1000/ },
  { name: 'kept, not rotated', raw: { file: 'a', maxSize: 0, keep: 2 }, says: /^audit.keep: with maxSize: 0/ },
  { name: 'required as text', raw: { file: 'a', required: 'yes' }, says: /^required: / },
  { name: 'an unknown key', raw: { file: 'a', path: 'b' }, says: /path/ },
];

void t.test('one fault, one place', async (t) => {
  for (const { name, raw, says } of BAD) {
    const { faults } = build(raw);
    t.equal(faults.length, 1, `${name}: ${faults.join('; ')}`);
    t.match(faults[0], says, name);
  }
});
