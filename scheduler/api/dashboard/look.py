"""The look of every page: one style sheet, light and dark, from a phone to a wide screen.

The library's own run-time style compiler is switched off: 260 kB of script that would look at every
change of every class. The few short class names that pages use are at the end.
"""

LOOK = """
:root { --nicegui-default-padding: .75rem; --nicegui-default-gap: .75rem }
.body--light { --good: #1a7f37; --bad: #b3261e; --quiet: #57606a; --busy: #0b5cad; --wait: #8a5a00 }
.body--dark { --good: #5fd47a; --bad: #ff8f85; --quiet: #a3adb8; --busy: #7cc4ff; --wait: #f0b440 }
body { font-variant-numeric: tabular-nums; line-height: 1.45 }
.page { width: 100%; max-width: 84rem; margin: 0 auto; padding: 1rem; gap: 1rem }
.page:focus { outline: none }
.panel { width: 100%; padding: 1rem; border-radius: .6rem; box-shadow: none; gap: .5rem;
  border: 1px solid rgba(128, 128, 128, .3); min-width: 0; overflow: hidden }
.panel ul, .panel li { width: 100%; min-width: 0; box-sizing: border-box }
.page h1 { font-size: 1.35rem; font-weight: 700; line-height: 1.3; margin: 0 }
.panel h2 { font-size: 1.05rem; font-weight: 650; line-height: 1.3; margin: 0 }
.panel h3 { font-size: .8rem; font-weight: 400; line-height: 1.3; margin: .25rem 0 -.4rem }
.columns { display: grid; width: 100%; gap: 1rem; grid-template-columns: minmax(0, 1fr);
  align-items: start }
.column-of-panels { display: flex; flex-direction: column; gap: 1rem; min-width: 0 }
.facts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .75rem;
  width: 100%; margin: 0 }
.facts dt { font-size: .8rem } .facts dd { margin: 0; font-weight: 600 }
.facts.many { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)) }
@media (min-width: 700px) { .facts { grid-template-columns: repeat(4, minmax(0, 1fr)) } }
@media (min-width: 1000px) { .columns { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) } }
@media (max-width: 640px) { .wide { display: none !important } .page { padding: .6rem } }
.slots { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .6rem;
  width: 100% }
.slot { border: 1px solid rgba(128, 128, 128, .3); border-radius: .5rem; padding: .5rem .7rem;
  min-width: 0 }
.slot .q-linear-progress { color: var(--busy); margin: .2rem 0 .3rem }
.phases { display: flex; width: 100%; height: .6rem; border-radius: .3rem; overflow: hidden;
  gap: 1px }
.phases.shares { gap: 0; height: .9rem }
.marks { display: flex; flex-wrap: wrap; gap: .2rem .9rem; font-size: .78rem; margin-top: .35rem }
.marks .mark { white-space: nowrap }
.marks i { display: inline-block; width: .7rem; height: .7rem; border-radius: .15rem;
  margin-right: .3rem; vertical-align: -.05rem }
.banner { width: 100%; padding: .7rem 1rem; border-radius: .6rem; gap: .6rem;
  border: 1px solid rgba(210, 140, 0, .6); background: rgba(255, 176, 0, .14) }
.long { max-height: 22rem; overflow: auto; width: 100% }
.one-line { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 100% }
.text { white-space: pre-wrap; overflow-wrap: anywhere }
.code { white-space: pre; overflow: auto; max-height: 34rem; font: .8rem/1.45 ui-monospace,
  SFMono-Regular, Menlo, Consolas, monospace; margin: 0; width: 100%; padding: .75rem;
  border-radius: .4rem; background: rgba(128, 128, 128, .1) }
.code.text { white-space: pre-wrap }
.code .plus { background: rgba(46, 160, 67, .22); display: block }
.code .minus { background: rgba(248, 81, 73, .2); display: block }
.code .at { color: #8250df; display: block } .body--dark .code .at { color: #c297ff }
.mono { font-family: ui-monospace, Menlo, Consolas, monospace }
.quiet, .facts dt, h3 { color: var(--quiet) } .bad { color: var(--bad) }
.unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap }
.skip { position: absolute; left: -999px } .skip:focus { left: 1rem; top: .5rem; z-index: 9999;
  background: #fff; color: #000; padding: .5rem 1rem }
a { text-underline-offset: .15em }
a, .plain { color: var(--busy) }
.solid { background: #0b5cad; color: #fff } .danger { background: #b3261e; color: #fff }
.state { flex: 1 1 13rem; min-width: 0 }
.q-header { background: #1c2733; color: #fff } .q-header a { color: inherit }
.q-header .quiet { color: #c9d1d9 }
:focus-visible { outline: 2px solid #2f81f7; outline-offset: 2px }
.q-header :focus-visible { outline-color: #fff }
.q-table th { font-weight: 600; font-size: .75rem } .q-table td.wrap { white-space: normal }
.q-table--dense th, .q-table--dense td { padding: 4px 6px }
.body--light { background: #f6f7f9 } .body--light .panel { background: #fff }
.body--dark { background: #101214 } .body--dark .panel { background: #181b1f }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none
  !important } }
.w-full { width: 100% } .grow { flex: 1 1 0; min-width: 0 }
.items-center { align-items: center }
.justify-between { justify-content: space-between }
.gap-0 { gap: 0 } .gap-1 { gap: .25rem } .gap-2 { gap: .5rem } .gap-3 { gap: .75rem }
.gap-4 { gap: 1rem } .items-baseline { align-items: baseline }
.text-lg { font-size: 1.15rem } .text-xs { font-size: .78rem } .font-bold { font-weight: 700 }
.field { min-width: 11rem } .narrow { width: 7rem }
"""
