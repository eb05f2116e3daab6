import type { help as enHelp, shell as en, signin as enSignin } from "../en/shell";

export const shell: typeof en = {
  skip: "跳到页面内容",
  menu: "菜单",
  navigation: "所有页面",
  observe: "观察",
  manage: "管理",
  overview: "概览", live: "实时", requests: "请求", why: "为何 429？", usage: "用量", keys: "密钥", upstreams: "上游与模型",
  cache: "缓存", playground: "试验场", settings: "设置", audit: "审计与会话", connect: "接入",
  signin: "登录", handover: "您的密钥",
  administrator: "管理员",
  holder: "密钥持有者",
  signOut: "退出",
  theme: { auto: "主题：跟随系统", light: "主题：浅色", dark: "主题：深色" },
  language: "语言",
  help: "键盘与帮助",
  version: (v) => `forward ${v}`,
  notFound: "没有这个页面",
  notFoundHint: "该链接可能来自其他版本。",
  toOverview: "前往概览",
  notYours: "此页面仅供管理员使用",
  loadFailed: "无法加载此页面。网关可能已更新：请重新加载页面。",
};

export const signin: typeof enSignin = {
  title: "登录 forward",
  intro: "请使用管理员密钥（ADMIN_KEY）或您自己的密钥（fk-…）。",
  key: "密钥",
  submit: "登录",
  code: "正在通过链接登录……",
  insecure: "此连接未加密。您的密钥以及发往此网关的所有请求都以明文传输。",
  own: "在网关所在的机器上，命令",
  ownAfter: "会打开已登录的页面。",
  off: "无法访问控制台",
};

export const help: typeof enHelp = {
  title: "键盘",
  keys: {
    "/": "搜索或筛选本页",
    "g o": "概览",
    "g r": "请求",
    "g k": "密钥",
    "g u": "用量",
    "g l": "实时",
    "g p": "试验场",
    "j k": "下一行与上一行",
    Enter: "打开该行",
    Esc: "关闭对话框",
    n: "在密钥列表中：新建密钥",
    "?": "本帮助",
  },
  about: "术语",
  terms: [
    { name: "Forward 密钥", text: "由此网关签发的密钥（fk-…），限制与预算都依附于它。" },
    { name: "无价格", text: "模型没有已知价格的请求；其费用未计入合计，并有标记。" },
    { name: "未计量", text: "应答中没有可读的用量，且未作估算的请求。" },
    { name: "估算", text: "上游未报告、由网关自行统计的词元。" },
    { name: "缓存节省", text: "由网关缓存给出的应答原本所需的费用。" },
    { name: "首词元", text: "从请求开始到应答第一部分的时间。" },
  ],
};
