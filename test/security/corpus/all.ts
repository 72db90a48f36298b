/** The corpus: every case, by section. */
import { ANSWERS } from './answers.ts';
import { idOf, type Case } from './case.ts';
import { CREDENTIALS } from './credentials.ts';
import { FIRST_FRAMES } from './first-frames.ts';
import { FRAMING } from './framing.ts';
import { HEADS, SPELLINGS } from './heads.ts';
import { NAMES } from './hosts.ts';
import { IDENTITY } from './identity.ts';
import { OPERATION } from './operation.ts';
import { POLICIES } from './policy.ts';
import { SOCKETS } from './sockets.ts';
import { TARGETS } from './target.ts';
import { UPGRADES } from './upgrade.ts';

export const CORPUS: Readonly<Record<string, readonly Case[]>> = {
  'header identity': [...IDENTITY, ...POLICIES, ...HEADS, ...SPELLINGS],
  framing: [...FRAMING, ...ANSWERS],
  'target and routing': [...TARGETS, ...NAMES],
  upgrade: [...UPGRADES, ...FIRST_FRAMES, ...SOCKETS],
  credentials: CREDENTIALS,
  operation: OPERATION,
};

export const CASES: readonly Case[] = Object.values(CORPUS).flat();

if (new Set(CASES.map(idOf)).size < CASES.length) throw new Error('two cases have one id');
