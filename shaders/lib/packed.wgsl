<%
/* Pieces shared by every template: how a packed operand is declared, loaded and written.
   A packed cell row is 8 consecutive k of one row: one vec4<u32> (f16, bf16) or two vec4<f32>. */
it.lib.packedType = (t) => (t === 'f32' ? 'vec4<f32>' : 'vec4<u32>');
/* vec4s per cell row */
it.lib.units = (t) => (t === 'f32' ? 2 : 1);
/* Statements that load cell row `index` of `array` into `name`_0 (and `name`_1 for f32). */
it.lib.loadCell = (name, array, index, t) =>
  t === 'f32'
    ? `let ${name}_0 = ${array}[${index}]; let ${name}_1 = ${array}[${index} + 1u];`
    : `let ${name}_0 = ${array}[${index}];`;
/* Statements that name the eight elements of a loaded cell row `name`_e0 .. `name`_e7. */
it.lib.splitCell = (name, t) => {
  const parts = ['x', 'y', 'z', 'w'];
  const out = [];
  for (let e = 0; e < 8; e += 1) {
    if (t === 'f32') out.push(`let ${name}_e${e} = ${name}_${e >> 2}.${parts[e & 3]};`);
    else if (t === 'bf16') {
      const word = `${name}_0.${parts[e >> 1]}`;
      out.push(`let ${name}_e${e} = bitcast<f32>(${e & 1 ? `${word} & 0xffff0000u` : `${word} << 16u`});`);
    } else {
      if ((e & 1) === 0) out.push(`let ${name}_u${e >> 1} = unpack2x16float(${name}_0.${parts[e >> 1]});`);
      out.push(`let ${name}_e${e} = ${name}_u${e >> 1}.${e & 1 ? 'y' : 'x'};`);
    }
  }
  return out.join(' ');
};
/* An expression of type vec4<f32>: half `h` (0 or 1) of the loaded cell row `name`. */
it.lib.halfCell = (name, h, t) => {
  if (t === 'f32') return `${name}_${h}`;
  const a = `${name}_0.${h ? 'z' : 'x'}`;
  const b = `${name}_0.${h ? 'w' : 'y'}`;
  if (t === 'f16') return `vec4<f32>(unpack2x16float(${a}), unpack2x16float(${b}))`;
  return `vec4<f32>(bitcast<f32>(${a} << 16u), bitcast<f32>(${a} & 0xffff0000u), bitcast<f32>(${b} << 16u), bitcast<f32>(${b} & 0xffff0000u))`;
};
/* A statement that stores eight f32 (two vec4 expressions) as cell row `index` of `array`; f16 saturates instead of overflowing. */
it.lib.storeCell = (array, index, low, high, t) =>
  t === 'f32'
    ? `${array}[${index}] = ${low}; ${array}[${index} + 1u] = ${high};`
    : `${array}[${index}] = packCell(${low}, ${high});`;
%>
<% if (it.packs) { %>
fn packCell(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  let limit = vec4<f32>(65504.0);
  let a = clamp(low, -limit, limit);
  let b = clamp(high, -limit, limit);
  return vec4<u32>(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}
<% } %>
