import type { ApiFailure } from "../../api/client";
import type { errors as en } from "../en/errors";

const wait = (f: ApiFailure) => (f.retryAfter ? `请在 ${f.retryAfter} 秒后重试。` : "");

export const errors: typeof en = {
  unreachable: "网关没有响应。它在运行吗？",
  invalid_api_key: "此处不认识这个密钥。",
  invalid_code: "此链接已被使用或已过期。请索取新的链接。",
  unauthenticated: "您已退出，请重新登录。",
  session_ended: "您的会话已结束，请重新登录。",
  key_expired: "您的密钥已过期。请向管理员索取新密钥。",
  key_disabled: "您的密钥已停用。请联系管理员。",
  key_revoked: "您的密钥已被吊销。请向管理员索取新密钥。",
  ip_not_allowed: "不允许从此地址使用您的密钥。",
  rate_limit_exceeded: (f) => "此地址的错误尝试过多。" + wait(f),
  too_many_requests: (f) => "过于频繁。" + wait(f),
  query_too_wide: "此查询耗时过长。请缩短时间范围或添加筛选。",
  invalid_query: "网关无法理解此查询。",
  invalid_body: "网关无法理解此表单。",
  not_found: "这里什么也没有。",
  key_not_found: "没有这个密钥。",
  key_is_declared: "此密钥写在配置文件中，请在那里修改。",
  key_exists: "已有同名密钥。",
  version_mismatch: "其他人已在此期间修改。请查看差异后再保存。",
  internal_error: "网关发生内部错误，详情见其日志。",
  other: (f) =>
    f.status === 429 ? "过于频繁。" + wait(f) : f.status === 401 ? "您已退出，请重新登录。" : f.status === 403 ? "您无权执行此操作。" : f.status === 404 ? "这里什么也没有。" : f.status === 412 ? "内容已在此期间被修改。" : f.status >= 500 ? "网关暂时无法回答。" : "网关拒绝了此请求。",
};
