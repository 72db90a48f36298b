/** Section 2.1 of the security cases, row by row: who a request is for is said by the shim alone. */
import t from 'tap';
import { attack, callersAnd, framing, HOPS, ours, refused, startHop } from '../helpers/hops.ts';
import { TOKENS } from '../helpers/stack.ts';
import { CREDENTIAL, HOST, PASSED, REFUSED, START } from './identity.cases.ts';

for (const hop of HOPS) {
  void t.test(`${hop} hop`, async (t) => {
    const stack = await startHop(t, hop);
    for (const { row, lines, kept = [], only = hop } of PASSED) {
      if (only !== hop) continue;
      await t.test(row, async (t) => {
        const bytes = `${START}${HOST}${lines.map((line) => `${line}\r\n`).join('')}${CREDENTIAL}\r\n`;
        const { answer, seen } = await attack(t, stack, bytes);
        t.equal(answer.status, 200);
        t.equal(seen.length, 1);
        const expected = [...framing(stack), ...kept, ...ours(hop, 'reader', 'operator.read')];
        t.strictSame(seen[0]?.rawHeaders, expected);
        t.equal(seen[0]?.url, '/v1/models');
      });
    }
    for (const { row, bytes, ...refusal } of REFUSED) await t.test(row, (t) => refused(t, stack, bytes, refusal));

    await t.test('H19 protected names in trailers', async (t) => {
      const head = `POST /v1/chat/completions HTTP/1.1\r\n${HOST}Authorization: Bearer ${TOKENS.writer}\r\n`;
      const body = '{"model":"openclaw","messages":[]}';
      const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\nx-openclaw-scopes: operator.admin\r\nX-Forwarded-User: admin\r\n\r\n`;
      const { answer, seen } = await attack(
        t,
        stack,
        `${head}Trailer: x-openclaw-scopes\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
      );
      t.equal(answer.status, 200);
      await seen[0]?.received;
      t.strictSame(seen[0]?.rawTrailers, []);
      t.equal(seen[0]?.body.toString(), body);
      t.strictSame(seen[0]?.rawHeaders.slice(4, -2), ours(hop, 'writer', 'operator.read,operator.write'));
      t.strictSame(seen[0]?.rawHeaders.slice(-2), ['transfer-encoding', 'chunked']);
    });
  });

  void t.test(`H21 no scopes, ${hop} hop`, async (t) => {
    const nobody = 'nobody-token-0123456789-abcdef';
    const stack = await startHop(t, hop, { callers: callersAnd(['nobody', nobody, [], 'tools: [session_status]']) });
    const credential = `Authorization: Bearer ${nobody}\r\n`;
    await refused(t, stack, `${START}${HOST}${credential}\r\n`, { status: 403, code: 'insufficient_scope' });
    const body = '{"tool":"session_status"}';
    const lines = `${HOST}${credential}Content-Length: ${body.length}\r\nx-openclaw-scopes: operator.admin\r\n\r\n`;
    const { answer, seen } = await attack(t, stack, `POST /tools/invoke HTTP/1.1\r\n${lines}${body}`);
    t.strictSame(seen[0]?.rawHeaders.slice(4), [...ours(hop, 'nobody', ''), 'content-length', String(body.length)]);
    // 2026.3.28 asks no scope here; 2026.9.6 does, and finds none.
    t.equal(answer.status, hop === 'token' ? 200 : 403);
    if (hop === 'trusted-proxy') t.match(answer.body, /missing scope: operator\.write/);
  });
}
