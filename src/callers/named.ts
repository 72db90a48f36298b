/** Callers by the claims of tokens that were verified. */
import type { ClaimRules } from '../config/claim-rules.ts';
import { refuse, type Refusal } from '../errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Caller } from '../types.ts';
import { callerFrom } from './claims.ts';

/** @returns whom the claims of a verified token name, or a refusal whose reason quotes no value of theirs */
export type NameCaller = (rules: ClaimRules, claims: Readonly<Record<string, unknown>>) => Caller | Refusal;

/** What was said once is not said again, and beyond so many callers nothing is. */
const MOST_SAID = 1_000;

/**
 * @param logger is told, once for each caller, which values of its scopes claim granted nothing
 * @returns the function that names callers
 */
export function createNaming(logger: Pick<Logger, 'info'>): NameCaller {
  const said = new Set<string>();
  return (rules, claims) => {
    const named = callerFrom(rules, claims);
    if ('fault' in named) {
      return refuse('invalid_token', { reason: `a token of ${rules.name} names no caller: ${named.fault}` });
    }
    const { caller, dropped } = named;
    if (dropped && said.size < MOST_SAID && !said.has(caller.name)) {
      said.add(caller.name);
      logger.info(
        { caller: caller.name, issuer: rules.name, ...dropped },
        'values of the scopes claim are unknown and grant nothing',
      );
    }
    return caller;
  };
}
