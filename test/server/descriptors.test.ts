import t from 'tap';
import { connectionsFor, descriptorLimit } from '../../src/server/descriptors.ts';

void t.test('two descriptors a connection, after the reserve', async (t) => {
  for (const [limit, connections] of [
    [undefined, 1_000_000],
    [64, 1],
    [193, 1],
    [256, 32],
    [1_024, 416],
    [20_192, 10_000],
    [1_048_576, 524_192],
    [4_000_000, 1_000_000],
  ] as const) {
    t.equal(connectionsFor(1_000_000, limit), connections, String(limit));
  }
  t.equal(connectionsFor(undefined, 4_000_000), 10_000, 'where the configuration says nothing');
  t.equal(connectionsFor(undefined, 1_024), 416);
  t.equal(connectionsFor(3, 1_024), 3);
});

void t.test('the limit is that of the process', { skip: process.platform !== 'linux' && 'no /proc' }, async (t) => {
  const report = process.report.getReport() as { userLimits: { open_files: { soft: number | 'unlimited' } } };
  t.equal(descriptorLimit() ?? 'unlimited', report.userLimits.open_files.soft);
});
