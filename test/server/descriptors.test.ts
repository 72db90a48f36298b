import t from 'tap';
import { connectionsFor, descriptorLimit } from '../../src/server/descriptors.ts';

void t.test('two descriptors a connection, after the reserve', async (t) => {
  for (const [limit, connections] of [
    [undefined, 10_000],
    [64, 1],
    [193, 1],
    [256, 32],
    [1_024, 416],
    [20_191, 9_999],
    [1_048_576, 10_000],
  ] as const) {
    t.equal(connectionsFor(undefined, limit), connections, String(limit));
  }
  t.equal(connectionsFor(7, 1_024), 7);
  t.equal(connectionsFor(20_000, 1_048_576), 20_000, 'as many as are asked for');
  t.equal(connectionsFor(20_000, 1_024), 416);
});

void t.test('the limit is that of the process', { skip: process.platform !== 'linux' && 'no /proc' }, async (t) => {
  const report = process.report.getReport() as { userLimits: { open_files: { soft: number | 'unlimited' } } };
  t.equal(descriptorLimit() ?? 'unlimited', report.userLimits.open_files.soft);
});
