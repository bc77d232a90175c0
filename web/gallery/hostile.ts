/** Names and texts that somebody might send to break a page. */

const ZALGO = [...'Karl'].map((char) => char + '\u0300\u0316\u0323\u0331\u0489'.repeat(4)).join('');

export const HOSTILE_NAMES = [
  '<script>alert(1)</script>',
  '🦊🦊🦊',
  'دينيز يلماز (المعلّم)',
  ZALGO,
  'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft',
  'Miriam "Mimi" Vogt & Söhne <b>fett</b>',
  'Ein Name mit genau so vielen Wörtern, dass er in keine Zeile passt und nirgends ein gutes Ende findet, Doktor',
];

export const HOSTILE_TEXTS = [
  '<script>alert(1)</script><img src=x onerror=alert(2)><b>fett</b>',
  '🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉',
  'هذا نص من اليمين إلى اليسار، وفيه رابط: https://example.org/مدرسة',
  'a\u0300\u0316\u0323\u0331\u0489'.repeat(60),
  'W'.repeat(300),
  'https://example.org/' + 'sehr-langer-pfad/'.repeat(20),
  '„Ein Satz.“ '.repeat(150),
];
