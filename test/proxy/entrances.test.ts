import t from 'tap';
import { Entrances } from '../../src/proxy/entrances.ts';

/** Takes room for so many of one address. */
function enter(entrances: Entrances, times: number, address?: string): ((() => void) | undefined)[] {
  return Array.from({ length: times }, () => entrances.enter(address));
}
const inside = (all: readonly unknown[]): number => all.filter((leave) => leave !== undefined).length;

void t.test('so many of one address', async (t) => {
  const entrances = new Entrances();
  t.equal(inside(enter(entrances, 20, '192.0.2.1')), 16);
  t.equal(inside(enter(entrances, 20, '192.0.2.2')), 16, 'another has its own');
  t.equal(inside(enter(entrances, 20)), 16, 'a unix socket is one address');
  t.equal(inside(enter(entrances, 1, '')), 0);
});

void t.test('so many in all', async (t) => {
  const entrances = new Entrances();
  const all = Array.from({ length: 70 }, (_, i) => entrances.enter(`192.0.2.${i}`));
  t.equal(inside(all), 64);
  t.equal(entrances.enter('198.51.100.1'), undefined);
  all[0]?.();
  t.type(entrances.enter('198.51.100.1'), 'function');
  t.equal(entrances.enter('198.51.100.1'), undefined);
});

void t.test('room is given back once', async (t) => {
  const entrances = new Entrances();
  const [first, second] = enter(entrances, 16, 'a');
  t.equal(entrances.enter('a'), undefined);
  first?.();
  first?.();
  first?.();
  t.equal(inside(enter(entrances, 3, 'a')), 1);
  second?.();
  t.equal(inside(enter(entrances, 3, 'a')), 1);
  // One that gave its room back thrice must not have taken that of others away.
  t.equal(inside(Array.from({ length: 70 }, (_, i) => entrances.enter(`b${i}`))), 48);
});

void t.test('all of it is free again, and nothing of an address is kept', async (t) => {
  const entrances = new Entrances();
  for (let round = 0; round < 3; round++) {
    const all = ['a', 'b', 'c', 'd'].flatMap((address) => enter(entrances, 16, address));
    t.equal(inside(all), 64);
    t.equal(entrances.enter('e'), undefined);
    for (const leave of all) leave?.();
  }
  t.type(entrances.enter('e'), 'function');
});
