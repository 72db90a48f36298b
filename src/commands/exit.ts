/** Exit codes. 78 is `EX_CONFIG` of sysexits.h: a supervisor need not try again. */
export const EXIT = { ok: 0, no: 1, usage: 2, config: 78 } as const;
