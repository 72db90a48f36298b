import t from 'tap';
import { pathOf } from '../../src/proxy/record.ts';

void t.test('a path is told without what may be a secret', async (t) => {
  const token = `shim_${'a'.repeat(49)}`;
  for (const [target, path] of [
    ['/v1/models', '/v1/models'],
    ['/v1/models?key=secret', '/v1/models'],
    ['/path#secret', '/path'],
    [`/v1/${token}`, '/v1/****'],
    // The cut comes after the mask: no half of a token is left.
    [`${'/a'.repeat(95)}/${token}`, `${'/a'.repeat(95)}/****`],
    ['/\x9b2J\x7f', '/\\u009b2J\\u007f'],
    [`/${'!'.repeat(300)}`, `/${'!'.repeat(199)}`],
    ['http://user:secret@host/', undefined],
    ['*', undefined],
  ] as const) {
    t.equal(pathOf(target), path, target);
  }
});
