import t from 'tap';
import { parseCallers } from '../../src/config/load.ts';
import { digest, faultsOf, loadText, textOf, warningsOf, worldOf } from '../helpers/configuration.ts';

const PAGE = `callers:\n  - name: page\n    tokens: [{ hash: "sha256:${digest('a')}" }]\n    scopes: [operator.read]\n`;
const text = textOf({ callersFile: 'secrets/callers.yaml' });
const at = (content: string | Error): ReturnType<typeof worldOf> => worldOf({ 'secrets/callers.yaml': content });

void t.test('callers may stand in a file of their own, relative to the configuration', async (t) => {
  const { config } = await loadText(text, at(PAGE));
  t.match(config.callers, [{ name: 'page', scopes: ['operator.read'] }]);
  t.strictSame((await loadText(text, at('callers: []'))).config.callers, []);
  const place = await parseCallers('shim.config.yaml', text, at(PAGE));
  t.match(place, { file: 'secrets/callers.yaml', text: PAGE });
});

void t.test('its faults are told with its own name and lines, beside those of the configuration', async (t) => {
  const wrong = PAGE.replace('operator.read', 'operator.raed');
  t.strictSame(await faultsOf(`${text}limit: 1\n`, at(wrong)), [
    '3:1 limit: unknown key (did you mean "limits"?)',
    'secrets/callers.yaml:4:14 callers[0].scopes[0]: unknown scope "operator.raed" (did you mean "operator.read"?)',
  ]);
  t.strictSame(await faultsOf(text, at('callers: [')), [
    'secrets/callers.yaml:1:11: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ]);
  t.match(await faultsOf(text, at('gateway: {}')), [/^secrets\/callers.yaml:1:1 gateway: unknown key/]);
  t.strictSame(await faultsOf(text, worldOf()), ['2:14 callersFile: secrets/callers.yaml does not exist']);
  t.match(await faultsOf(`${text}callers: []\n`, at(PAGE)), [
    /^2:1 callersFile: callers stand either here or in a file/,
  ]);
  t.match(await warningsOf(text, at('callers: []')), [/^callers: nobody may call/]);
});
