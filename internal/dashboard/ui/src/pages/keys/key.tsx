import { Skeleton } from "../../components/states";

export default function Page() {
  return <Skeleton />;
}
